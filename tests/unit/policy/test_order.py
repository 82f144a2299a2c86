"""EmitOrder: within a lane events leave as they came in, except that an earlier deadline overtakes."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from inferstream.policy.order import EmitOrder

Lane = tuple[int, int, str]
A, B = (0, 1, "default"), (1, 1, "default")


@dataclass(eq=False)
class Item:
    """An event, as far as the order is concerned."""

    lane: Lane
    deadline: float
    is_answered: bool = False


def answered(*items: Item) -> list[Item]:
    """They are answered now."""
    for item in items:
        item.is_answered = True
    return list(items)


def test_an_event_waits_for_those_before_it_in_its_lane() -> None:
    """Answered first is not emitted first; what waited leaves with what it waited for."""
    order: EmitOrder[Item] = EmitOrder()
    first, second, third = Item(A, 1), Item(A, 1), Item(A, 2)
    order.admit([first, second])
    order.admit([third])
    assert order.release(answered(second, third)) == []
    assert order.release(answered(first)) == [[first, second, third]]


def test_lanes_do_not_wait_for_each_other() -> None:
    """A partition is not held up by another, nor a class, nor an assignment by the one before."""
    order: EmitOrder[Item] = EmitOrder()
    others = [Item(B, 2), Item((0, 2, "default"), 2), Item((0, 1, "gold"), 2)]
    order.admit([Item(A, 1), *others])
    released = order.release(answered(*others))
    assert sorted(e.lane for part in released for e in part) == sorted(e.lane for e in others)
    assert all(len(part) == 1 for part in released)


def test_an_earlier_deadline_overtakes() -> None:
    """Waiting for an event that has more time would cost a deadline; the later one is not waited for twice."""
    order: EmitOrder[Item] = EmitOrder()
    slow, urgent, after = Item(A, 9), Item(A, 2), Item(A, 9)
    order.admit([slow, urgent, after])
    assert order.release(answered(urgent, after)) == [[urgent]]
    assert order.release(answered(slow)) == [[slow, after]]


def test_an_event_that_overtakes_waits_for_one_as_urgent() -> None:
    """Among events with the same deadline the order of admission holds."""
    order: EmitOrder[Item] = EmitOrder()
    slow, urgent, as_urgent = Item(A, 9), Item(A, 2), Item(A, 2)
    order.admit([slow, urgent, as_urgent])
    assert order.release(answered(as_urgent)) == []
    assert order.release(answered(urgent)) == [[urgent, as_urgent]]


def test_events_of_partitions_that_went_do_not_leave() -> None:
    """Their new owner answers them; other partitions' events do leave."""
    order: EmitOrder[Item] = EmitOrder()
    gone, kept = Item(A, 1), Item(B, 1)
    order.admit([gone, kept])
    order.drop_partitions({0})
    assert order.release(answered(gone, kept)) == [[kept]]


def test_a_partition_that_comes_back_starts_anew() -> None:
    """Nothing of the assignment before holds the new one up or leaves with it."""
    order: EmitOrder[Item] = EmitOrder()
    before, after = Item(A, 1), Item((0, 2, "default"), 1)
    order.admit([before])
    order.drop_partitions({0})
    order.admit([after])
    assert order.release(answered(before, after)) == [[after]]


LANES = st.sampled_from([A, B, (0, 1, "gold")])


@given(st.lists(st.tuples(LANES, st.floats(0, 1)), min_size=1, max_size=40), st.data())
def test_while_deadlines_do_not_decrease_every_lane_keeps_its_order(
    lanes: list[tuple[Lane, float]], data: st.DataObject
) -> None:
    """Answered in any order and portions, all events leave, once, each lane's in the order of admission."""
    now = 0.0
    items = [Item(lane, now := now + step) for lane, step in lanes]
    left = leave_all(items, data)
    for lane in {item.lane for item in items}:
        assert [e for e in left if e.lane == lane] == [e for e in items if e.lane == lane]


@given(st.lists(st.tuples(LANES, st.integers(0, 5)), min_size=1, max_size=40), st.data())
def test_an_event_is_passed_only_by_earlier_deadlines(lanes: list[tuple[Lane, int]], data: st.DataObject) -> None:
    """For any deadlines all events leave, once; of two in a lane the later is first only if it is more urgent."""
    items = [Item(lane, deadline) for lane, deadline in lanes]
    left = leave_all(items, data)
    assert set(left) == set(items)
    assert len(left) == len(items)
    place = {item: number for number, item in enumerate(left)}
    for number, item in enumerate(items):
        for later in items[number + 1 :]:
            if later.lane == item.lane and place[later] < place[item]:
                assert later.deadline < item.deadline


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.data())
def test_nothing_that_may_leave_is_kept(deadlines: list[int], data: st.DataObject) -> None:
    """After each answer, what is answered and kept has an open event before it that is as urgent."""
    order: EmitOrder[Item] = EmitOrder()
    items = [Item(A, deadline) for deadline in deadlines]
    order.admit(items)
    left: set[Item] = set()
    for item in data.draw(st.permutations(items)):
        left.update(e for part in order.release(answered(item)) for e in part)
        for number, kept in enumerate(items):
            if kept.is_answered and kept not in left:
                assert any(not e.is_answered and e.deadline <= kept.deadline for e in items[:number])


def leave_all(items: list[Item], data: st.DataObject) -> list[Item]:
    """Admit the items in portions, answer them in any order in portions, and see them leave."""
    order: EmitOrder[Item] = EmitOrder()
    middle = data.draw(st.integers(0, len(items)), label="admitted first")
    left: list[Item] = []
    for portion in (items[:middle], items[middle:]):
        order.admit(portion)
        waiting = data.draw(st.permutations(portion), label="answered in this order")
        while waiting:
            size = data.draw(st.integers(1, len(waiting)), label="together")
            now, waiting = waiting[:size], waiting[size:]
            left += [e for part in order.release(answered(*now)) for e in part]
    return left
