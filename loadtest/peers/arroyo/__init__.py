"""Sentry's Arroyo, the library behind its own Kafka consumers."""
