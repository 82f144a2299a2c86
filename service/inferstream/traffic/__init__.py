"""Seeded traffic for the demo, load tests, training and tests. Pure: numpy and arithmetic, no clock, no IO."""

from inferstream.traffic.cards import World, simulate
from inferstream.traffic.transactions import stream, transactions

__all__ = ["World", "simulate", "stream", "transactions"]
