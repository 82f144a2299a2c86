"""local traces: what the local collector has of the last events that left a trace, each as a tree of its spans."""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from inferstream.errors import InferstreamError
from inferstream.local.stack import TRACES_FILE

Span = Mapping[str, Any]

_PIPED_WIDTH = 240  # a line of a tree is one line for `grep`

_SHOWN = ("inferstream.outcome", "inferstream.cause", "error.type", "inferstream.slo.slack_ms", "inferstream.answerer")
_SHOWN_CALL = ("inferstream.batch.size", "inferstream.model.name", "inferstream.model.version")


def run_traces(folder: Path, count: int, only_wrong: bool) -> int:
    """Print the last so many. Raises InferstreamError where there is no collector."""
    file = folder / TRACES_FILE
    if not file.is_file():
        raise InferstreamError(f"no traces in {folder}: start the stack with `inferstream local up --traces`")
    spans = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    trees = list(_trees(spans, only_wrong))
    for tree in trees[-count:]:
        console.print(tree)
    if not trees:
        console.print(
            "no traces yet: events leave one if they are sampled upstream or go wrong, or by telemetry.traces.ratio"
        )
    return 0


def _trees(spans: Sequence[Span], only_wrong: bool) -> Iterator[Tree]:
    """A tree for each event, in the order they were exported; a call's own trace hangs where it is linked."""
    children: dict[tuple[str, str], list[Span]] = defaultdict(list)
    by_id = {(span["trace_id"], span["span_id"]): span for span in spans}
    for span in spans:
        children[span["trace_id"], span["parent_span_id"]].append(span)
    for span in spans:
        if span["kind"] == "consumer" and (span["is_error"] or not only_wrong):
            yield _tree(span, children, by_id, span["begin_ns"])


def _tree(
    span: Span, children: Mapping[tuple[str, str], Sequence[Span]], by_id: Mapping[tuple[str, str], Span], begin: int
) -> Tree:
    tree = Tree(_line(span, begin))
    below = [*children.get((span["trace_id"], span["span_id"]), ())]
    if span["name"] == "infer":
        linked = (by_id.get((link["trace_id"], link["span_id"])) for link in span["links"])
        below += [call for call in linked if call is not None]
    for child in sorted(below, key=lambda one: one["begin_ns"]):
        tree.add(_tree(child, children, by_id, begin))
    return tree


def _line(span: Span, begin: int) -> Text:
    attributes = span["attributes"]
    text = Text.assemble(
        (f"{(span['begin_ns'] - begin) / 1e6:8.2f} ms ", "dim"),
        (f"{(span['end_ns'] - span['begin_ns']) / 1e6:8.2f} ms  ", "bold"),
        (span["name"], "red" if span["is_error"] else "cyan"),
    )
    if span["kind"] == "consumer":
        place = f"{attributes.get('messaging.destination.partition.id')}@{attributes.get('messaging.kafka.offset')}"
        text.append(f"  {place}", "dim").append(f"  trace {span['trace_id']}", "dim")
    shown = [f"{name.rpartition('.')[2]}={attributes[name]}" for name in (*_SHOWN, *_SHOWN_CALL) if name in attributes]
    return text.append("  " + " ".join(shown), "dim") if shown else text
