"""Seeded traffic for the demo, load tests, training and tests. Pure: numpy and arithmetic, no clock, no IO."""

from inferstream.traffic.cards import DAY_MS, LABEL_DELAY_DAYS, History, World, history, simulate
from inferstream.traffic.transactions import stream, transactions

__all__ = [
    "DAY_MS",
    "LABEL_DELAY_DAYS",
    "History",
    "World",
    "history",
    "simulate",
    "stream",
    "transactions",
]
