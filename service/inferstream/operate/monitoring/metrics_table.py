"""metrics: the catalogue of what `/metrics` shows and OTLP sends."""

from inferstream.signals import Signals

_HEAD = """# Metrics

What `/metrics` shows and OTLP sends. Made by `inferstream metrics --markdown`; a test keeps it true.
By OTLP `inferstream_lag_seconds` is `inferstream.lag` in `s`, and so on; Prometheus translates it back.
Of several workers, counters and histograms are the sum, and so are gauges unless it says largest or smallest.

| metric | type | labels | what it is |
|---|---|---|---|"""
_SUFFIXES = {"counter": "_total"}
_MERGED = {"sum": "", "max": " (of several workers the largest)", "min": " (of several workers the smallest)"}


def show_metrics(markdown: bool) -> None:
    """Markdown, or tab-separated lines."""
    print(as_markdown() if markdown else "\n".join("\t".join(row) for row in _rows()))


def as_markdown() -> str:
    """The whole page."""
    rows = (f"| `{name}` | {kind} | {labels} | {text} |" for name, kind, labels, text in _rows())
    return "\n".join([_HEAD, *rows])


def _rows() -> list[tuple[str, str, str, str]]:
    return [
        (
            family.name + _SUFFIXES.get(family.kind, ""),
            family.kind,
            ", ".join(family.labels),
            family.help + _MERGED[family.merge],
        )
        for family in Signals().families()
    ]
