"""What the demo must know of one task: its traffic, and how results are shown and judged."""

from collections.abc import Iterator
from typing import Any, Protocol

from rich.console import RenderableType


class Show(Protocol):
    """What a pipeline's demo sends, and how its results are shown and judged. Fed by the demo; awaits nothing.

    Made without arguments, one for each run. Events are msgspec Structs or dicts; instants are milliseconds since 1970.
    """

    def stream(self, seed: int) -> Iterator[tuple[Any, Any]]:
        """Events without end, each with what is true of it (a label, say)."""

    def key(self, event: Any) -> bytes:
        """Its Kafka key."""

    def at(self, event: Any, timestamp_ms: int) -> None:
        """Set the event's own time."""

    def came_back(self, event: Any, truth: Any, result: Any, at_ms: float) -> None:
        """The final outcome of an event has a result (decoded: plain dicts and lists); `at_ms`: when it was read."""

    def partial(self, event: Any, result: Any, at_ms: float) -> None:
        """A partial outcome came, of a model that streams. Others never hear of one."""

    def panel(self, rows: int) -> RenderableType:
        """The last results, on at most so many lines."""

    def figures(self) -> dict[str, Any]:
        """For the JSON, under the task's name: `{"sensor": {"rmse": 17.1}}`."""

    def lines(self) -> list[tuple[str, str]]:
        """Rows of the summary: a name and a text."""
