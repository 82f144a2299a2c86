"""Whether calls go to an endpoint: one state machine, fed by what calls and polls say.

up -> suspect: calls missed in a row, or a poll did; polled at once, no calls meanwhile
suspect -> up: it answers | suspect -> open: it does not
up | suspect -> open: it refuses, or fails several calls in a row
open -> probing: it answers a poll, after a pause that doubles with each relapse; polled when the pause ends
probing -> up: the first call that is let through is answered | probing -> open: it is not
"""

from typing import Literal

from inferstream.events.outcome import Cause

State = Literal["up", "suspect", "open", "probing"]

_MISSES = 3  # calls in a row
_SILENT_POLLS = 3  # in a row
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 2.0  # seconds; one call goes out after each
_QUIET = 10.0  # seconds up after which a failure is not a relapse


class EndpointState:
    """One model at one server. It begins open: nothing is known of it. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self.state: State = "open"
        self._misses = self._silent = 0
        self._pause = 0.0
        self._until = float("-inf")
        self._suspect_since = float("-inf")
        self._up_since = float("-inf")
        self._is_probed = False

    @property
    def takes_calls(self) -> bool:
        """A call may be made now."""
        return self.state == "up" or (self.state == "probing" and not self._is_probed)

    def poll_in(self, interval: float, now: float) -> float:
        """Seconds until the next poll: at once on a suspicion, at the end of a pause, or else after the interval."""
        if self.state == "suspect":
            return 0.0
        return min(interval, self._until - now) if self.state == "open" and now < self._until else interval

    def called(self) -> None:
        """A call goes out; while probing it is the only one."""
        self._is_probed = True

    def answered(self, now: float) -> None:
        """A call was answered. A late answer of a state that has passed does no harm."""
        self._misses = 0
        self._is_probed = False
        if self.state in ("probing", "suspect"):
            self._rise(now)

    def failed(self, cause: Cause, now: float) -> None:
        """A call was not answered."""
        self._is_probed = False
        if self.state == "open":
            return
        self._misses += 1
        if cause is Cause.MODEL_UNAVAILABLE or self.state == "probing":
            self._open(now)
        elif self._misses >= _MISSES:
            if cause is Cause.MODEL_TIMEOUT:
                self._suspect(now)
            else:
                self._open(now)

    def given_up(self) -> None:
        """A call was ended by us before it was answered, which says nothing of the server: another one may be tried."""
        self._is_probed = False

    def polled(self, is_ready: bool, now: float) -> None:
        """The server said whether the model is ready, or that it is not there."""
        self._silent = 0
        if is_ready:
            if self.state == "suspect":
                self._misses = 0
                self.state = "up"
            elif self.state == "open" and now >= self._until:
                self._misses = 0
                self._is_probed = False
                if self._pause == 0.0:
                    self._rise(now)
                else:
                    self.state = "probing"
        else:
            self._missed(now)

    def unanswered(self, now: float) -> bool:
        """A poll got no answer at all. True: the connection may be the reason, and should be made anew.

        Not at the first: a server that stood still is heard the moment it goes on where it is being asked, while a
        connection that it did not take up has to be tried again.
        """
        self._silent += 1
        self._missed(now)
        return self.state == "open" and self._silent % _SILENT_POLLS == 0

    def _missed(self, now: float) -> None:
        if self.state == "up":
            self._suspect(now)
        elif self.state in ("suspect", "probing"):
            self._open(now)

    def _rise(self, now: float) -> None:
        self.state = "up"
        self._up_since = now

    def _suspect(self, now: float) -> None:
        if self.state != "suspect":
            self._suspect_since = now
        self.state = "suspect"

    def _open(self, now: float) -> None:
        """Closed to calls for a pause since the last one: longer each time unless it was well for a while."""
        was_well = self.state in ("up", "suspect") and now - self._up_since >= _QUIET
        self._pause = _FIRST_PAUSE if was_well or not self._pause else min(_LONGEST_PAUSE, 2 * self._pause)
        self._until = self._pause + (self._suspect_since if self.state == "suspect" else now)
        self._misses = 0
        self.state = "open"
