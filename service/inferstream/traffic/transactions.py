"""Simulated payments as the events a producer would publish. The planted labels stay beside them, never in them."""

from collections.abc import Iterator
from itertools import count

import numpy as np

from inferstream.tasks.fraud import Aggregates, Transaction
from inferstream.tasks.fraud.features import PER_EURO
from inferstream.traffic.cards import Floats, Ints, World, simulate

_COUNTRIES = (("GB", "GBP"), ("FR", "EUR"), ("BE", "EUR"), ("DE", "EUR"), ("CH", "CHF"))  # by zone, west to east
_CATEGORIES = (5411, 5812, 5541, 5912, 5999, 5651, 4111, 5732, 5944, 7995)  # food, fuel, clothes, gambling, …
_ONLINE = ("ecommerce", "ecommerce", "ecommerce", "recurring", "moto")
_PRESENT = ("contactless", "contactless", "chip", "chip", "magstripe")
_NO_AGGREGATES = 0.05  # share of events whose producer has no feature store at hand
_NO_CARD_COUNTRY = 0.1
_HISTORY_DAYS = 45  # before the live part, so that every window has been filled


def transactions(world: World, rows: Ints | None = None, seed: int = 0) -> Iterator[Transaction]:
    """The payments of these rows (default: all) as events, in their order."""
    rows = np.arange(world.time_ms.size) if rows is None else rows
    rng = np.random.default_rng((seed, 7))
    draws = rng.random((rows.size, 3))
    for row, (aggregates_draw, country_draw, channel_draw) in zip(rows.tolist(), draws.tolist(), strict=True):
        terminal, card = int(world.terminal[row]), int(world.card[row])
        country, currency = _COUNTRIES[world.terminal_place[terminal]]
        channels = _ONLINE if world.is_online[terminal] else _PRESENT
        yield Transaction(
            f"t{seed}-{row}",
            f"c{card:06d}",
            f"p{terminal:06d}",
            f"m{terminal // 3:06d}",
            _CATEGORIES[terminal % len(_CATEGORIES)],
            max(0.01, round(float(world.euros[row]) * PER_EURO[currency], 2)),
            currency,
            int(world.time_ms[row]),
            channels[int(channel_draw * len(channels))],  # type: ignore[arg-type]
            country,
            None if country_draw < _NO_CARD_COUNTRY else _COUNTRIES[world.card_place[card]][0],
            f"h{card // 2:06d}",
            None if aggregates_draw < _NO_AGGREGATES else _aggregates(world, row),
        )


def stream(seed: int = 1, customers: int = 2_000) -> Iterator[tuple[Transaction, bool]]:
    """Events without end, each with its planted label (True: fraud), in order of simulated time.

    The history before them is simulated too, so that their aggregates are what they would be. A caller that
    plays them live sets `timestamp_ms`.
    """
    for chapter in count(seed):
        world = simulate(chapter, customers=customers, terminals=2 * customers)
        rows = np.flatnonzero(world.time_ms >= _HISTORY_DAYS * 86_400_000)
        labels = world.is_fraud[rows].tolist()
        yield from zip(transactions(world, rows, chapter), labels, strict=True)


def _aggregates(world: World, row: int) -> Aggregates:
    return Aggregates(
        *world.card_counts[row].tolist(),
        *_known(world.card_means, row),
        *world.terminal_counts[row].tolist(),
        *_known(world.terminal_shares, row),
    )


def _known(values: Floats, row: int) -> list[float | None]:
    """A mean over nothing is not known."""
    return [None if value != value else round(value, 4) for value in values[row].tolist()]
