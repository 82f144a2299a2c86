"""What became of every event: the books of one run, from what was sent and what came back. Pure.

Every event has one line, by its sequence number. The first record for it counts, whatever comes later is a
duplicate; a record of an event that was never sent is a phantom. Both are counted apart. The books must balance:
in time + late + fallback + expired + dead-lettered + lost = sent, each counted on its own.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from loadtest.errors import AccountingError
from loadtest.histogram import encoded, percentiles

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_MS_NS = 1_000_000
_SECOND_NS = 1_000_000_000


class Status(IntEnum):
    """What a record says of its event."""

    SCORED = 0
    FALLBACK = 1
    EXPIRED = 2
    DEAD_LETTERED = 3


class Received(NamedTuple):
    """Records of the output and dead-letter topics, a row each, in the order they came."""

    sequence: Ints
    """-1: the record names no event of a load test."""
    intended_ns: Ints
    append_ms: Ints
    receipt_ns: Ints
    status: Ints
    is_letter: Flags
    """From the dead-letter topic: it tells of an event only if no outcome does."""


class Books(NamedTuple):
    """The lines of the measured events, in order of sending."""

    intended_ns: Ints
    status: Ints
    """-1: lost."""
    is_in_time: Flags
    append_ms: Floats
    """Intended time to the broker's append; NaN where there is no record."""
    receipt_ms: Floats
    duplicates: int
    phantoms: int

    @property
    def is_answered(self) -> Flags:
        """Scored by the model or answered by the fallback."""
        return np.isin(self.status, (Status.SCORED, Status.FALLBACK))


def settle(intended_ns: Ints, received: Received, slo_ms: int | Ints, warm_up: Flags) -> Books:
    """The books of the events that are not warm-up. The deadline is the record's timestamp plus the SLO, in ms, which
    is that of all events or of each."""
    known = _is_known(intended_ns, received)
    outcome, letter = known & ~received.is_letter, known & received.is_letter
    first, repeats = _first_rows(received, outcome)
    for sequence, row in _first_rows(received, letter)[0].items():
        first.setdefault(sequence, row)
    sequences = np.fromiter(first.keys(), np.int64, len(first))
    rows = np.fromiter(first.values(), np.int64, len(first))

    status = np.full(len(intended_ns), -1, np.int64)
    append_ms, receipt_ms = np.full((2, len(intended_ns)), np.nan)
    in_time = np.zeros(len(intended_ns), np.bool_)
    status[sequences] = received.status[rows]
    sent_ms = intended_ns[sequences] / _MS_NS
    append_ms[sequences] = np.maximum(received.append_ms[rows] - sent_ms, 0.0)
    receipt_ms[sequences] = np.maximum(received.receipt_ns[rows] / _MS_NS - sent_ms, 0.0)
    deadlines_ms = intended_ns // _MS_NS + slo_ms
    in_time[sequences] = received.append_ms[rows] <= deadlines_ms[sequences]
    counted = ~warm_up
    return Books(
        intended_ns[counted],
        status[counted],
        in_time[counted],
        append_ms[counted],
        receipt_ms[counted],
        repeats,
        int((~known).sum()),
    )


def _is_known(intended_ns: Ints, received: Received) -> Flags:
    """Whether a record is of an event that was sent: its number, and the time it carries, are those of one."""
    is_number = (received.sequence >= 0) & (received.sequence < len(intended_ns))
    if not len(intended_ns):
        return is_number
    sent = intended_ns[np.where(is_number, received.sequence, 0)]
    known: Flags = is_number & (sent == received.intended_ns)
    return known


def _first_rows(received: Received, wanted: Flags) -> tuple[dict[int, int], int]:
    """The first row of every event among the wanted ones, and how many rows came after a first one."""
    rows = np.flatnonzero(wanted)
    sequences, first = np.unique(received.sequence[rows], return_index=True)
    return dict(zip(sequences.tolist(), rows[first].tolist(), strict=True)), len(rows) - len(sequences)


def figures(books: Books, begin_ns: int, seconds: float) -> dict[str, Any]:
    """The figures of a run. Raises AccountingError unless the books balance."""
    sent = len(books.intended_ns)
    counts = _counts(books)
    if sum(counts.values()) != sent:
        raise AccountingError(f"the books do not balance: {sent} events sent, but {counts}")
    fallback_in_time = int(((books.status == Status.FALLBACK) & books.is_in_time).sum())
    answered = books.is_answered
    return {
        "sent": sent,
        "counts": counts,
        "fallback_in_time": fallback_in_time,
        "duplicates": books.duplicates,
        "phantoms": books.phantoms,
        "goodput_per_s": round(counts["in_time"] / seconds, 2),
        "answered_per_s": _rate(books, answered),
        "expired_per_s": _rate(books, (books.status == Status.EXPIRED) & (books.intended_ns < begin_ns)),
        "answered_in_time_ratio": round((counts["in_time"] + fallback_in_time) / max(1, sent), 6),
        "append_ms": percentiles(books.append_ms[answered]),
        "receipt_ms": percentiles(books.receipt_ms[answered]),
        "receipt_histogram": encoded(books.receipt_ms[answered]),
        "per_second": _per_second(books, begin_ns),
    }


def of_classes(books: Books, class_of: npt.NDArray[np.uint8], slos_ms: Mapping[str, int]) -> dict[str, Any]:
    """By SLO class: how many of its events were sent, what became of them, and how late answers were."""
    return {name: _of_class(books, class_of == number, slo_ms) for number, (name, slo_ms) in enumerate(slos_ms.items())}


def _of_class(books: Books, mine: Flags, slo_ms: int) -> dict[str, Any]:
    scored, fallback = (mine & (books.status == status) for status in (Status.SCORED, Status.FALLBACK))
    return {
        "slo_ms": slo_ms,
        "sent": int(mine.sum()),
        "in_time": int((scored & books.is_in_time).sum()),
        "fallback_in_time": int((fallback & books.is_in_time).sum()),
        "append_ms": percentiles(books.append_ms[mine & books.is_answered]),
    }


def score_after_s(books: Books, at_ns: int) -> float | None:
    """Seconds from this moment to the next append of a model's score that is in time; None if there is none."""
    scored = (books.status == Status.SCORED) & books.is_in_time
    after_ns = books.intended_ns[scored] - at_ns + books.append_ms[scored] * _MS_NS
    later = after_ns[after_ns >= 0]
    return round(float(later.min()) / _SECOND_NS, 3) if len(later) else None


def _rate(books: Books, wanted: Flags) -> float | None:
    """Outcomes per second of the brokers' time, from the first tenth to the last: of a backlog, the throughput."""
    at_ms = np.sort(books.intended_ns[wanted] / _MS_NS + books.append_ms[wanted])
    begin = len(at_ms) // 10
    if len(at_ms) < 10 or at_ms[-1] <= at_ms[begin]:
        return None
    return round(1e3 * (len(at_ms) - 1 - begin) / float(at_ms[-1] - at_ms[begin]), 1)


def _counts(books: Books) -> dict[str, int]:
    """Each counted on its own, so that their sum tells something."""
    scored = books.status == Status.SCORED
    return {
        "in_time": int((scored & books.is_in_time).sum()),
        "late": int((scored & ~books.is_in_time).sum()),
        "fallback": int((books.status == Status.FALLBACK).sum()),
        "expired": int((books.status == Status.EXPIRED).sum()),
        "dead_lettered": int((books.status == Status.DEAD_LETTERED).sum()),
        "lost": int(np.isnan(books.receipt_ms).sum()),
    }


def _per_second(books: Books, begin_ns: int) -> list[dict[str, Any]]:
    """By second of the intended time; a backlog's seconds are negative."""
    seconds = (books.intended_ns - begin_ns) // _SECOND_NS
    scored = books.status == Status.SCORED
    rows = []
    for second in np.unique(seconds).tolist():
        mine = seconds == second
        found = percentiles(books.receipt_ms[mine & books.is_answered])
        rows.append(
            {
                "second": second,
                "sent": int(mine.sum()),
                "in_time": int((mine & scored & books.is_in_time).sum()),
                "fallback": int((mine & (books.status == Status.FALLBACK)).sum()),
                "late": int((mine & scored & ~books.is_in_time).sum()),
                "receipt_p50_ms": found["p50"],
                "receipt_p99_ms": found["p99"],
            }
        )
    return rows
