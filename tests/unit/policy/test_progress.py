"""Progress: who stands still without a reason, and who is excused."""

from hypothesis import given
from hypothesis import strategies as st

from inferstream.policy.progress import Progress, Seen

PATIENCE = 60.0


def looked(*looks: dict[int, Seen], every: float = 25.0) -> list[str | None]:
    """What is said at each look."""
    progress = Progress(PATIENCE)
    return [progress.look(seen, number * every) for number, seen in enumerate(looks)]


def test_a_partition_that_owes_and_does_not_move_is_told_after_the_patience() -> None:
    """Whether its records wait on the broker or were taken and never answered."""
    for still in (Seen(1, 10, 5, 0, False), Seen(1, 0, 5, 2, False)):
        said = looked(*[{3: still}] * 4)
        assert said[:3] == [None, None, None]
        assert said[3] is not None
        assert "partition 3 stands still for 75 s" in said[3]


def test_whoever_moves_owes_nothing_or_is_excused_is_left_alone() -> None:
    """Taking, settling, having nothing to do, being held, and being assigned anew are all progress enough."""
    taking = [{0: Seen(1, 100, taken, 5, False)} for taken in range(8)]
    settling = [{0: Seen(1, 0, 9, 9 - settled, False)} for settled in range(8)]
    idle = [{0: Seen(1, 0, 9, 0, False)}] * 8
    held = [{0: Seen(1, 100, 9, 0, True)}] * 8
    renewed = [{0: Seen(epoch, 100, 0, 0, False)} for epoch in range(8)]
    for looks in (taking, settling, idle, held, renewed):
        assert looked(*looks) == [None] * 8


def test_one_that_moves_does_not_excuse_another() -> None:
    """Each partition is judged by itself."""
    said = looked(*[{0: Seen(1, 9, taken, 1, False), 1: Seen(1, 9, 0, 0, False)} for taken in range(4)])
    assert said[3] is not None
    assert "partition 1" in said[3]


def test_a_broker_that_does_not_answer_starts_the_wait_anew() -> None:
    """What is not known is not held against us."""
    progress, still = Progress(PATIENCE), {0: Seen(1, 9, 0, 0, False)}
    for now in range(0, 60, 10):
        assert progress.look(still, float(now)) is None
    progress.excuse_all()
    for now in range(60, 120, 10):
        assert progress.look(still, float(now)) is None
    assert progress.look(still, 125.0) is not None


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=40))
def test_nothing_is_said_before_the_patience_is_over(moves: list[tuple[int, bool]]) -> None:
    """Whatever the looks are: a complaint needs a partition that was the same for longer than the patience."""
    progress, taken, since = Progress(PATIENCE), 0, 0.0
    for number, (moved, is_excused) in enumerate(moves):
        now = number * 20.0
        taken += moved
        if moved or is_excused or number == 0:
            since = now
        said = progress.look({0: Seen(1, 1, taken, 0, is_excused)}, now)
        assert (said is not None) == (now - since > PATIENCE)
