"""Which events share the next call to the model, and when it is sent.

Eager: whenever a call may be made it takes what waits, so a batch is as large as the time the backend was
busy made it; nothing lingers for its own sake. Events already decided ride in the same queue, so that
outcomes keep their order; they take no row and need no call.
"""

from collections import deque

from inferstream.events.envelope import Batch, Event

_MAX_EVENTS = 1_024  # of a batch, rows and decided ones together: what follows must not hold the loop for long


class Batcher:
    """FIFO of events with at most `max_in_flight` calls of at most `max_batch_size` rows each."""

    def __init__(self, max_batch_size: int, max_in_flight: int) -> None:
        self._max_rows = max_batch_size
        self._max_in_flight = max_in_flight
        self._queue: deque[Event] = deque()
        self._in_flight: set[int] = set()
        self._numbers = 0

    def __len__(self) -> int:
        """Events waiting."""
        return len(self._queue)

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return len(self._in_flight)

    def add(self, events: list[Event]) -> None:
        """Events join the queue in the order given."""
        self._queue.extend(events)

    def next(self, now: float) -> Batch | None:
        """The batch to send now, or None: nothing waits, or every call is taken. Ask again until None."""
        queue = self._queue
        if not queue:
            return None
        rows_left = self._max_rows if len(self._in_flight) < self._max_in_flight else 0
        taken: list[Event] = []
        deadline = float("inf")
        while queue and len(taken) < _MAX_EVENTS:
            event = queue[0]
            if event.verdict is None and event.payload is not None:
                if rows_left == 0:
                    break
                rows_left -= 1
                if event.deadline < deadline:
                    deadline = event.deadline
            taken.append(queue.popleft())
        return self._numbered(taken, now, deadline) if taken else None

    def _numbered(self, taken: list[Event], now: float, deadline: float) -> Batch:
        self._numbers += 1
        if deadline != float("inf"):
            self._in_flight.add(self._numbers)
        return Batch(self._numbers, taken, now, deadline)

    def done(self, batch: Batch) -> None:
        """The call has ended, whatever its result. Calling it for a batch that made no call is fine."""
        self._in_flight.discard(batch.number)

    def drop_partitions(self, partitions: set[int]) -> None:
        """Forget what waits from partitions that were taken away: their new owner answers it."""
        self._queue = deque(e for e in self._queue if e.record.partition not in partitions)
