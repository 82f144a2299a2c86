"""The catalogue's values as OpenMetrics text."""

from collections.abc import Iterator

from inferstream.signals import Signals, Snapshot

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def render(values: Signals | Snapshot) -> str:
    """All families, in the catalogue's order."""
    snapshot = values.snapshot() if isinstance(values, Signals) else values
    return "\n".join([*_lines(snapshot), "# EOF", ""])


def _lines(snapshot: Snapshot) -> Iterator[str]:
    for family in snapshot:
        yield f"# TYPE {family.name} {family.kind}"
        yield f"# HELP {family.name} {_escape(family.help)}"
        for suffix, labels, value in family.samples:
            text = ",".join(f'{name}="{_escape(label)}"' for name, label in labels)
            yield f"{family.name}{suffix}{'{' + text + '}' if text else ''} {_number(value)}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(float(value))
