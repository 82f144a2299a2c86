"""Bytewax with its own Kafka connectors."""
