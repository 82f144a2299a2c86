"""Decisions without IO: synchronous, `now` is an argument (seconds of a monotonic clock), answers are returned."""
