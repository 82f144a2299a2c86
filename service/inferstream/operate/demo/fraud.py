"""Card payments with planted fraud: which were found, and the last that were not approved."""

from collections import Counter, deque
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from inferstream.tasks.fraud import Transaction
from inferstream.traffic import stream

_FLAGGED = 40
_DECISIONS = {"review": "yellow", "decline": "red"}


class Flagged(NamedTuple):
    """A transaction that was not approved, with its result."""

    transaction: Transaction
    result: dict[str, Any]


class FraudShow:
    """Knows which payments are frauds and what was said of them."""

    def __init__(self) -> None:
        self._flagged: deque[Flagged] = deque(maxlen=_FLAGGED)
        self._judged: Counter[tuple[bool, bool]] = Counter()

    def stream(self, seed: int) -> Iterator[tuple[Transaction, bool]]:
        return stream(seed)

    def key(self, event: Transaction) -> bytes:
        return event.card_id.encode()

    def at(self, event: Transaction, timestamp_ms: int) -> None:
        event.timestamp_ms = timestamp_ms

    def came_back(self, event: Transaction, truth: bool, result: dict[str, Any], at_ms: float) -> None:
        is_flagged = result["decision"] != "approve"
        self._judged[is_flagged, truth] += 1
        if is_flagged:
            self._flagged.append(Flagged(event, result))

    def partial(self, event: Transaction, result: Any, at_ms: float) -> None:
        """There are none."""

    def panel(self, rows: int) -> RenderableType:
        table = Table(
            box=None, padding=(0, 1), expand=True, title="not approved", title_justify="left", title_style="dim"
        )
        for name in ("time", "amount", "card", "where", "how", "", "p", "why"):
            justify: Any = "right" if name == "amount" else "left"
            table.add_column(name, no_wrap=True, header_style="dim", justify=justify)
        for transaction, result in reversed(list(self._flagged)[-max(1, rows - 2) :]):
            table.add_row(
                f"{datetime.fromtimestamp(transaction.timestamp_ms / 1000):%H:%M:%S}",
                f"{transaction.amount:,.2f} {transaction.currency}",
                f"…{transaction.card_id[-3:]}",
                transaction.country,
                transaction.channel,
                Text(result["decision"], _DECISIONS.get(result["decision"], "")),
                f"{result['probability']:.2f}",
                Text(" ".join(result["reasons"]).lower(), overflow="ellipsis", no_wrap=True),
            )
        return table

    def figures(self) -> dict[str, Any]:
        precision, recall = self._precision_and_recall()
        return {"fraud": {"precision": round(precision, 3), "recall": round(recall, 3)}}

    def lines(self) -> list[tuple[str, str]]:
        precision, recall = self._precision_and_recall()
        return [("fraud", f"{recall:.0%} of the planted found, {precision:.0%} of the flagged right")]

    def _precision_and_recall(self) -> tuple[float, float]:
        """Of flagging, against the planted labels."""
        hits = self._judged[True, True]
        flagged, frauds = hits + self._judged[True, False], hits + self._judged[False, True]
        return hits / max(1, flagged), hits / max(1, frauds)
