"""Seeded traffic for the demo, load tests, training and tests. Numpy and arithmetic; no clock, no IO but our data."""

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
