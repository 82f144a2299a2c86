"""How long a worker that ended is waited with."""

from inferstream.workers.backoff import Backoff


def test_it_doubles_up_to_its_limit() -> None:
    backoff = Backoff(first_seconds=1, most_seconds=5, well_seconds=60, draw=lambda: 1.0)
    assert [backoff.delay(0) for _ in range(5)] == [1, 2, 4, 5, 5]


def test_it_begins_anew_after_a_worker_that_was_well_for_a_while() -> None:
    backoff = Backoff(first_seconds=1, most_seconds=50, well_seconds=60, draw=lambda: 1.0)
    assert [backoff.delay(well) for well in (0, 59, 60, 0)] == [1, 2, 1, 2]


def test_workers_that_ended_together_are_not_started_together() -> None:
    delays = {Backoff(first_seconds=1).delay(0) for _ in range(50)}
    assert len(delays) > 40
    assert all(0.5 <= delay <= 1 for delay in delays)
