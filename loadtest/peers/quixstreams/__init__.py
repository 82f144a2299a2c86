"""Quix Streams: a StreamingDataFrame, which works message by message."""
