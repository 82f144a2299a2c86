"""A simulated world of card payments with planted fraud, after the description in the Fraud Detection Handbook.

Customers and terminals have places; a customer spends by an own profile at terminals nearby or online. Three
frauds are planted: amounts far above the usual, terminals that are compromised for 28 days, and cards that
are used by a thief for 14 days, a third of whose payments are five times as high. Aggregates are what a
feature store would know at the time: of the card until now, of the terminal until a week ago.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

DAY_MS = 86_400_000
LABEL_DELAY_DAYS = 7
WINDOWS_DAYS = (1, 7, 30)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_PLACES = 100.0  # the world is a square of this side
_RADIUS = 8.0
_ONLINE_SHARE = 0.2
_ONLINE_CHOICES = 6
_MAX_TERMINALS = 24  # of a customer
_LARGE_SHARE = 0.003
_TERMINALS_PER_DAY, _TERMINAL_DAYS = 0.0005, 28  # newly compromised, as a share of all
_CARDS_PER_DAY, _CARD_DAYS = 0.0015, 14


class World(NamedTuple):
    """Payments in order of time, a row each. Means are in euros; a window without payments has no mean (NaN)."""

    time_ms: Ints
    card: Ints
    terminal: Ints
    euros: Floats
    is_fraud: Flags
    card_counts: Floats  # [rows, windows]
    card_means: Floats
    terminal_counts: Floats
    terminal_shares: Floats
    terminal_place: Ints  # country zone of each terminal
    card_place: Ints  # country zone of each card
    is_online: Flags  # of each terminal


def simulate(seed: int, *, customers: int = 2_000, terminals: int = 4_000, days: int = 60, start_ms: int = 0) -> World:
    """A world of this many days from `start_ms`; about two payments per customer and day, 2 % of them fraud."""
    rng = np.random.default_rng(seed)
    customer_places = rng.uniform(0, _PLACES, (customers, 2))
    terminal_places = rng.uniform(0, _PLACES, (terminals, 2))
    is_online = rng.random(terminals) < _ONLINE_SHARE
    choices, sizes = _choices(rng, customer_places, terminal_places, is_online)

    mean_euros = rng.uniform(5, 100, customers)
    daily = rng.uniform(0.2, 4, customers)
    counts = rng.poisson(daily[:, None], (customers, days))
    card = np.repeat(np.repeat(np.arange(customers), days), counts.ravel())
    day = np.repeat(np.tile(np.arange(days), customers), counts.ravel())
    second = np.clip(rng.normal(43_200, 20_000, card.size), 0, 86_399.9)
    time_ms = start_ms + day * DAY_MS + (second * 1000).astype(np.int64)
    order = np.argsort(time_ms, kind="stable")
    card, day, time_ms = card[order], day[order], time_ms[order]

    terminal = choices[card, (rng.random(card.size) * sizes[card]).astype(np.int64)]
    euros = rng.normal(mean_euros[card], mean_euros[card] / 2)
    euros = np.where(euros <= 0, rng.uniform(0.5, 2 * mean_euros[card]), euros)
    euros, is_fraud = _plant(rng, card, terminal, day, euros, (customers, terminals, days))
    past = history(card, terminal, time_ms, euros, is_fraud)
    return World(
        time_ms,
        card,
        terminal,
        np.round(euros, 2).clip(0.01),
        is_fraud,
        *past,
        _zone(terminal_places, is_online, rng),
        _zone(customer_places, np.zeros(customers, bool), rng),
        is_online,
    )


class History(NamedTuple):
    """What a feature store would know at each payment, [rows, windows]; NaN where a window holds nothing."""

    card_counts: Floats
    card_means: Floats
    terminal_counts: Floats
    terminal_shares: Floats


def history(card: Ints, terminal: Ints, time_ms: Ints, euros: Floats, is_fraud: Flags) -> History:
    """The reference definition of the aggregates: of the card until now, of the terminal until a week ago."""
    card_counts, card_sums = _windows(card, time_ms, euros, 0)
    terminal_counts, terminal_frauds = _windows(terminal, time_ms, is_fraud.astype(float), LABEL_DELAY_DAYS)
    return History(
        card_counts, _ratio(card_sums, card_counts), terminal_counts, _ratio(terminal_frauds, terminal_counts)
    )


def _choices(rng: np.random.Generator, customers: Floats, terminals: Floats, is_online: Flags) -> tuple[Ints, Ints]:
    """The terminals each customer uses: those nearby and a few online, [customers, most], and how many they are."""
    table = np.zeros((len(customers), _MAX_TERMINALS), np.int64)
    sizes = np.zeros(len(customers), np.int64)
    online = np.flatnonzero(is_online)
    for row, place in enumerate(customers):
        near = np.flatnonzero((np.square(terminals - place).sum(axis=1) < _RADIUS**2) & ~is_online)
        near = rng.permutation(near)[: _MAX_TERMINALS - _ONLINE_CHOICES]
        mine = np.concatenate([near, rng.choice(online, _ONLINE_CHOICES)])
        table[row, : mine.size] = mine
        sizes[row] = mine.size
    return table, sizes


def _plant(
    rng: np.random.Generator, card: Ints, terminal: Ints, day: Ints, euros: Floats, shape: tuple[int, int, int]
) -> tuple[Floats, Flags]:
    """The three frauds: amounts after planting, and which payments are fraud."""
    customers, terminals, days = shape
    is_large = rng.random(card.size) < _LARGE_SHARE
    euros = np.where(is_large, 220 + rng.exponential(200, card.size), euros)
    bad_terminal = _spells(rng, terminals, days, _TERMINALS_PER_DAY, _TERMINAL_DAYS)[terminal, day]
    stolen = _spells(rng, customers, days, _CARDS_PER_DAY, _CARD_DAYS)[card, day] & (rng.random(card.size) < 1 / 3)
    return np.where(stolen, euros * 5, euros), is_large | bad_terminal | stolen


def _spells(rng: np.random.Generator, things: int, days: int, share_per_day: float, length: int) -> Flags:
    """On which days each thing is compromised: spells begin at random and last, [things, days]."""
    begins = rng.random((things, days + length)) < share_per_day
    running = np.cumsum(begins, axis=1)
    before = np.concatenate([np.zeros((things, 1), running.dtype), running], axis=1)
    spells: Flags = before[:, length + 1 : length + days + 1] > before[:, 1 : days + 1]
    return spells


def _windows(entity: Ints, time_ms: Ints, value: Floats, delay_days: int) -> tuple[Floats, Floats]:
    """Count and sum of `value` over each window before a payment of the same entity, [rows, windows] both."""
    order = np.lexsort((time_ms, entity))
    who, when = entity[order], time_ms[order] - time_ms.min()
    span = int(when.max()) + 64 * DAY_MS
    key = who * span + when + 40 * DAY_MS
    total = np.concatenate([[0.0], np.cumsum(value[order])])
    ends = np.searchsorted(key, key - delay_days * DAY_MS, side="left")
    counts = np.empty((entity.size, len(WINDOWS_DAYS)))
    sums = np.empty_like(counts)
    for column, window in enumerate(WINDOWS_DAYS):
        begins = np.searchsorted(key, np.maximum(key - (delay_days + window) * DAY_MS, who * span), side="left")
        counts[order, column] = ends - begins
        sums[order, column] = total[ends] - total[begins]
    return counts, sums


def _ratio(sums: Floats, counts: Floats) -> Floats:
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def _zone(places: Floats, anywhere: Flags, rng: np.random.Generator) -> Ints:
    """The country zone (0 to 4) of each place, from west to east; an online terminal may be in any."""
    zone = np.minimum(places[:, 0] // 20, 4).astype(np.int64)
    return np.where(anywhere, rng.integers(0, 5, len(places)), zone)
