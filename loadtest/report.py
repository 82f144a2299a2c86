"""A file of results as a report: a page for people, the pictures, and tables in Markdown."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from loadtest import page, plots, promises, store, tables
from loadtest.cells import BURSTS, GOODPUT, SPIKE, Cell, Runs, by_broker
from loadtest.errors import LoadTestError
from loadtest.page import Picture, Section
from loadtest.result import GIVEN_UP

_TITLE = "Load test results"
_DETAILED_LOADS = (0.8, 1.0)  # of scenario goodput, in pictures of latency
_KEYS_OF_RUN = {"contestant", "scenario", "kafka", "model", "slo_ms", "seed", "void", "counts", "answered_per_s"}


def command(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS.json", help="what `bench`, or `run --out FOLDER`, has written")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", file_okay=False, help="where it goes; default: the folder of RESULTS.json"),
    ] = None,
) -> None:
    """Write the report of results: report.html with pictures, report.md."""
    document = read(results)
    store.prepare(out or results.parent)
    written = write(document, out or results.parent)
    typer.echo("\n".join([*promise_lines(document), *ratio_lines(document)]))
    typer.echo(f"the report is in {written}", err=True)


def read(file: Path) -> dict[str, Any]:
    """A file of results. Raises LoadTestError."""
    advice = "write one with `python -m loadtest run SCENARIO --out FOLDER`"
    if not file.is_file():
        raise LoadTestError(f"there is no file {file}; {advice}")
    try:
        document = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise LoadTestError(f"{file} cannot be read as results ({error}); {advice}") from None
    runs = document.get("runs") if isinstance(document, dict) else None
    if not isinstance(runs, list) or not all(isinstance(run, dict) and run.keys() >= _KEYS_OF_RUN for run in runs):
        raise LoadTestError(f"{file} is not a file of results, or its runs lack figures; {advice}")
    return dict(document)


def write(document: Mapping[str, Any], folder: Path) -> Path:
    """`report.html`, `report.md` and the pictures; the path of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = [*_sections(document)]
    for section in sections:
        for picture in section.pictures:
            (folder / picture.name).write_bytes(picture.png)
    (folder / "report.md").write_text(page.markdown(_TITLE, sections))
    html = folder / "report.html"
    html.write_text(page.html(_TITLE, sections))
    return html


def promise_lines(document: Mapping[str, Any]) -> list[str]:
    """The promises for a terminal."""
    lines = []
    for kafka, runs in by_broker(document):
        for promise, value, target, met in promises.table(document, runs).rows:
            verdict = {"yes": "met", "no": "NOT MET"}.get(met, "-")
            lines.append(f"{verdict:8} {promise}: {value} (target {target}; Kafka: {kafka})")
    return lines


def ratio_lines(document: Mapping[str, Any]) -> list[str]:
    """The ratios for a terminal, a line for each value."""
    lines = []
    for kafka, runs in by_broker(document):
        for name, _, of, value, target, met in tables.of_ratios(document, runs).rows:
            verdict = {"yes": ", met", "no": ", not met"}.get(met, "")
            lines.append(f"{name:4} {value} (Kafka: {kafka}; {of}; target {target}{verdict})")
    return lines


def _sections(document: Mapping[str, Any]) -> Iterator[Section]:
    for kafka, runs in by_broker(document):
        yield from _on_broker(document, kafka, runs)
    unavailable = tables.of_pairs("Peers that could not be measured", document.get("unavailable", {}))
    findings = [tables.of_pairs(f"Finding: {name}", found) for name, found in document.get("findings", {}).items()]
    missing = [tables.of_failures(document), tables.of_void(document), unavailable, *findings]
    yield Section("What is not in these figures", missing)
    yield Section("Tuning of the peers", tables.of_grids(document))
    calibration = tables.of_pairs("Calibration of the paced model", document.get("calibration") or {})
    machine = tables.of_pairs("Machine", document.get("machine", {}))
    yield Section("How it was measured", [machine, calibration], commands=document.get("commands", []))


def _on_broker(document: Mapping[str, Any], kafka: str, runs: Runs) -> Iterator[Section]:
    where = f"Kafka: {kafka}"
    yield Section(f"Promises ({where})", [promises.table(document, runs)])
    yield Section(f"Ratios ({where})", [tables.of_ratios(document, runs), tables.of_losses(runs)])
    yield Section(f"Goodput ({where})", tables.of_goodput(runs), [*_goodput_pictures(kafka, runs)])
    yield Section(
        f"Latency ({where})", [tables.of_latency(runs), tables.of_classes(runs)], [*_latency_pictures(kafka, runs)]
    )
    yield Section(f"When things go wrong ({where})", (), [*_time_pictures(kafka, runs)])
    yield Section(
        f"CPU time, memory and throughput ({where})",
        [tables.of_throughput(runs), tables.of_cpu(runs), tables.of_memory(runs), tables.of_options(runs)],
    )


def _goodput_pictures(kafka: str, runs: Runs) -> Iterator[Picture]:
    for slo_ms in sorted({cell.slo_ms for cell in runs.cells if cell.scenario == GOODPUT}):
        about = f"goodput by load at an SLO of {slo_ms} ms"
        yield Picture(f"{kafka}-goodput-slo{slo_ms}.png", about, plots.for_goodput(runs, slo_ms))


def _latency_pictures(kafka: str, runs: Runs) -> Iterator[Picture]:
    for cell in runs.cells:
        is_detailed = cell.scenario != GOODPUT or cell.load in _DETAILED_LOADS
        if is_detailed and not _has_story(runs, cell):
            yield Picture(_file(kafka, "latency", cell), f"latency, {cell.words()}", plots.for_latency(runs, cell))


def _time_pictures(kafka: str, runs: Runs) -> Iterator[Picture]:
    for cell in runs.cells:
        if _has_story(runs, cell):
            yield Picture(_file(kafka, "time", cell), f"by second, {cell.words()}", plots.for_time(runs, cell))


def _has_story(runs: Runs, cell: Cell) -> bool:
    """Whether its seconds differ: something went wrong, or the rate changed."""
    every = [run for name in runs.contestants for run in runs.rounds(name, cell).values()]
    told = (event["what"] for run in every for event in run["events"])
    return cell.scenario in (SPIKE, BURSTS) or any(not what.startswith(GIVEN_UP) for what in told)


def _file(kafka: str, kind: str, cell: Cell) -> str:
    pace = f"rate{cell.rate:.0f}" if cell.load is None else f"load{cell.load:g}"
    return f"{kafka}-{kind}-{cell.scenario}-{cell.model}-{cell.codec}-slo{cell.slo_ms}-{pace}.png"
