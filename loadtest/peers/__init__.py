"""Peers: what people build today to score Kafka events on Triton, each as its own documentation recommends."""
