"""Flink's own Triton provider, `flink-model-triton`: why it is no peer."""
