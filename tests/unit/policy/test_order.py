"""Order: within a lane batches leave as they came in, except that an earlier deadline overtakes."""

from hypothesis import given
from hypothesis import strategies as st

from inferstream.policy.order import EmitOrder, Part


def test_a_batch_waits_for_the_one_before_it_in_its_lane() -> None:
    """Finished first is not emitted first."""
    order: EmitOrder[str] = EmitOrder()
    order.admit(1, [("a", 1.0)])
    order.admit(2, [("a", 2.0)])
    assert order.complete(2) == []
    assert order.complete(1) == [Part(1, "a", 1.0), Part(2, "a", 2.0)]


def test_lanes_do_not_wait_for_each_other() -> None:
    """A partition is not held up by another one."""
    order: EmitOrder[str] = EmitOrder()
    order.admit(1, [("a", 1.0), ("b", 1.0)])
    order.admit(2, [("b", 2.0), ("c", 2.0)])
    assert order.complete(2) == [Part(2, "c", 2.0)]
    assert order.complete(1) == [Part(1, "a", 1.0), Part(1, "b", 1.0), Part(2, "b", 2.0)]


def test_an_earlier_deadline_overtakes() -> None:
    """Waiting for an event that has more time would cost a deadline."""
    order: EmitOrder[str] = EmitOrder()
    order.admit(1, [("a", 9.0)])
    order.admit(2, [("a", 2.0)])
    assert order.complete(2) == [Part(2, "a", 2.0)]
    assert order.complete(1) == [Part(1, "a", 9.0)]


@given(
    st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True), min_size=1, max_size=12),
    st.data(),
)
def test_every_part_leaves_once_and_in_order(lanes: list[list[str]], data: st.DataObject) -> None:
    """While deadlines do not decrease, each lane's parts leave in the order of admission, all of them, once."""
    order: EmitOrder[str] = EmitOrder()
    for batch, in_lanes in enumerate(lanes):
        order.admit(batch, [(lane, float(batch // 2)) for lane in in_lanes])
    left: list[Part[str]] = []
    for batch in data.draw(st.permutations(range(len(lanes)))):
        left += order.complete(batch)
    for lane in "abc":
        assert [p.batch for p in left if p.lane == lane] == [b for b, ls in enumerate(lanes) if lane in ls]
