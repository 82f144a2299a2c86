"""The file of results: its head, a section for each family, and the cells of its tables."""

import re
from collections.abc import Sequence

from inferstream.models.evaluate import BATCHES
from inferstream.models.family import Report

_HEAD = """# Models: what they are worth

Written by `python -m inferstream.models results FAMILY`. Accuracy is on data that no model has seen; a rebuild gives
the same. Times are of one run, on a machine that may have been busy: compare them with each other only. What is wanted
of a model's speed is a target, what it may lose is a limit that the build holds it to.
"""


def with_section(text: str, family: str, section: str) -> str:
    """A report with a family's section put in or in place of the one before."""
    _, *sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    by_family = {old.split()[1]: old.rstrip() + "\n" for old in sections} | {family: section.rstrip() + "\n"}
    return "\n".join([_HEAD, *by_family.values()])


def latencies(report: Report) -> list[str]:
    """Cells of a call's p50 / p99 by rows."""
    timed = [rows for rows in BATCHES if f"p50_us_{rows}" in report]
    return [f"{report[f'p50_us_{rows}']:.0f} / {report[f'p99_us_{rows}']:.0f}" for rows in timed]


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)
