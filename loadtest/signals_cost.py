"""What the metrics cost an event that is not traced, in nanoseconds: `python -m loadtest.signals_cost`.

Does what the stages do for a batch, with the service's own cells, and divides by its events. The work that is measured
anyway (clocks) is not in it.
"""

import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from inferstream.events.envelope import Event, Record
from inferstream.events.outcome import Status
from inferstream.pipeline.emit import _Counts
from inferstream.signals import Distribution, Signals, slo_bounds

_ROUNDS = 15
_EVENTS_A_ROUND = 50_000
_ROWS = (1, 8, 32, 256)
_NOW = 100.0
_NOW_MS = 1_700_000_000_000.0


def events(rows: int) -> list[Event]:
    """Scored in time, at latencies of some ms."""
    made = []
    for row in range(rows):
        record = SimpleNamespace(timestamp=int(_NOW_MS) - 5 - row % 20, partition=0, offset=row)
        event = Event(cast("Record", record), (0, 1, "default"), "default", _NOW + 0.02, 0, _NOW - 0.01, 4_000)
        event.status = Status.SCORED
        made.append(event)
    return made


def of_a_batch(signals: Signals, batch: list[Event]) -> Callable[[], None]:
    """All that is counted and timed of these events, from stage to stage."""
    pipeline, rows = "fraud", len(batch)
    stages = {name: signals.stage.cell(pipeline, name) for name in ("consume", "decode", "batch", "infer")}
    stages |= {name: signals.stage.cell(pipeline, name) for name in ("decide", "emit", "commit")}
    records, skipped = signals.records.cell(pipeline), signals.skipped.cell(pipeline)
    batch_rows, scored = signals.batch_rows.cell(pipeline), signals.batches.cell(pipeline, "scored")
    committed, counts = signals.committed.cell(pipeline), _Counts(pipeline, signals)

    def count() -> None:
        records.add(rows)
        skipped.add(0)
        for stage in stages.values():
            stage.observe(0.0012, rows)
        batch_rows.observe(rows)
        scored.add()
        counts.acknowledged(batch, _NOW, _NOW_MS)
        committed.add(rows)

    return count


def nanoseconds(rows: int) -> float:
    """Per event, in batches of so many: the median of the rounds."""
    signals = Signals()
    signals.expect("fraud", ["default"])
    signals.latency.cell("fraud", "default", make=lambda: Distribution(slo_bounds(0.05)))
    count, batches = of_a_batch(signals, events(rows)), max(1, _EVENTS_A_ROUND // rows)
    took = []
    for _ in range(_ROUNDS):
        began = time.process_time_ns()
        for _ in range(batches):
            count()
        took.append((time.process_time_ns() - began) / (batches * rows))
    assert signals.slo_good.total(indicator="scored") == _ROUNDS * batches * rows
    return statistics.median(took)


def snapshot_milliseconds() -> tuple[int, float]:
    """Samples of a snapshot with one pipeline, and what taking it costs."""
    signals: Any = Signals()
    signals.expect("fraud", ["default"])
    of_a_batch(signals, events(32))()
    took = []
    for _ in range(100):
        began = time.process_time_ns()
        taken = signals.snapshot()
        took.append((time.process_time_ns() - began) / 1e6)
    return sum(len(reading.samples) for reading in taken), statistics.median(took)


def main() -> None:
    """Print the table."""
    print("rows of a batch  ns per event")
    for rows in _ROWS:
        print(f"{rows:15}  {nanoseconds(rows):12.0f}")
    samples, took = snapshot_milliseconds()
    print(f"a snapshot of {samples} samples takes {took:.2f} ms")


if __name__ == "__main__":
    main()
