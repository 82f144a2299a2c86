"""The report: one page that needs nothing else, real pictures, tables in Markdown."""

import json
import re
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from loadtest import report, tables
from loadtest.cells import Runs
from loadtest.errors import LoadTestError
from PIL import Image
from tests.unit.loadtest.results import document, goodput, run, seconds

FAULT = {"at_s": 1.0, "what": "triton paused for 500 ms & <more>"}
LOADS = ((0.5, 500.0), (0.8, 800.0), (1.0, 950.0), (2.0, 940.0))


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    """Something of everything."""
    curves = [
        goodput(name, load, per_s * share, seed=seed, kafka="apache")
        for name, share in (("service", 1.0), ("confluent", 0.6), ("flink", 0.5))
        for load, per_s in LOADS
        for seed in (1, 2)
    ]
    others = [
        run("passthrough", kafka="apache", p50=2.0),
        run("service", kafka="apache"),
        run("naive", kafka="apache", p50=7.5),
        run("service", kafka="apache", scenario="triton_paused", events=[FAULT]),
        run("service", scenario="spike", model="paced", per_second=seconds(sent=[9, 99, 9], in_time=[9, 9, 9])),
        run("arroyo", kafka="apache", p50=0.01, void="the generator was late itself"),
    ]
    return document(
        *curves,
        *others,
        failed=[
            {"contestant": name, "scenario": "goodput", "slo_ms": 50, "load": 0.5, "seed": 1, "why": "it fell over"}
            for name in ("flink", "flink")
        ],
        unavailable={"bytewax": "bytewax cannot be installed: pip says: a | b <c>"},
        grids={"confluent": [{"options": {"max_batch": 256}, "metric": 1_234.5}]},
        findings={"flink-model-triton": {"version": "2.3.0", "works": False, "error": "column should be null"}},
        triton_alone=[{"batch": 1, "in_flight": 1, "rows_per_s": 400.0, "p50_ms": 2.5, "p99_ms": 4.0}],
    )


@pytest.fixture(scope="module")
def folder(content: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("report")
    assert report.write(content, where) == where / "report.html"
    return where


@pytest.fixture(scope="module")
def page(folder: Path) -> ElementTree.Element:
    """Well-formed, else it cannot be parsed."""
    return ElementTree.fromstring((folder / "report.html").read_text())


def text(page: ElementTree.Element) -> str:
    return " ".join(page.itertext())


@pytest.mark.parametrize(
    "wanted",
    [
        *("service", "passthrough", "confluent", "flink", "naive", "arroyo", "bytewax"),
        "bytewax cannot be installed: pip says: a | b <c>",
        "the generator was late itself",
        "flink-model-triton",
        "column should be null",
        "python -m loadtest bench --quick",
        "a processor",
        "alpha_ms",
        "max_batch: 256",
        "not run",
    ],
)
def test_the_page_tells_everything(page: ElementTree.Element, wanted: str) -> None:
    assert wanted in text(page)


def test_the_page_needs_no_other_file(page: ElementTree.Element) -> None:
    assert not list(page.iter("script"))
    assert not list(page.iter("link"))
    sources = [image.get("src") or "" for image in page.iter("img")]
    assert len(sources) == len(list(page.iter("img"))) > 0
    for source in sources:
        kind, _, encoded = source.partition(",")
        assert kind == "data:image/png;base64"
        assert b64decode(encoded).startswith(b"\x89PNG\r\n\x1a\n")


def test_every_picture_is_one(folder: Path) -> None:
    files = sorted(folder.glob("*.png"))
    assert [file.name for file in files] == [
        "apache-goodput-slo50.png",
        "apache-latency-goodput-paced-msgpack-slo50-load0.8.png",
        "apache-latency-goodput-paced-msgpack-slo50-load1.png",
        "apache-latency-steady-fraud-msgpack-slo50-rate1000.png",
        "apache-time-triton_paused-fraud-msgpack-slo50-rate1000.png",
        "embedded-time-spike-paced-msgpack-slo50-rate1000.png",
    ]
    for file in files:
        with Image.open(BytesIO(file.read_bytes())) as image:
            image.load()
            assert image.width >= 900
            assert len(image.getcolors(maxcolors=1 << 24) or []) > 10


def test_markdown_has_whole_tables(folder: Path) -> None:
    said = (folder / "report.md").read_text()
    for block in said.split("\n\n"):
        if block.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    assert "a \\| b &lt;c>" in said
    assert "| load | offered/s | service | confluent | flink |" in said
    assert (
        "| 0.5 | 500.0 (500.0 to 500.0) | 500.0 (500.0 to 500.0) | 300.0 (300.0 to 300.0) | 250.0 (250.0 to 250.0) |"
        in said
    )


def test_what_is_lost_is_told_with_both_figures_and_without_void_runs(folder: Path) -> None:
    said = (folder / "report.md").read_text()
    assert "| naive | steady, fraud, SLO 50 ms, 1,000/s | p50, ms | 10.0 | 7.50 | one run |" in said
    lost = said.partition("### What we lose")[2].partition("\n## ")[0]
    assert "arroyo" not in lost


def test_failed_runs_are_told_beside_those_that_were_made(folder: Path) -> None:
    assert "| flink | goodput | 2 of 10 | it fell over |" in (folder / "report.md").read_text()


def test_slo_classes_have_a_table() -> None:
    gold = {"slo_ms": 20, "sent": 100, "in_time": 80, "fallback_in_time": 15, "append_ms": {"p99": 19.0}}
    mixed = run("service", scenario="mixed_classes", classes={"gold": gold})
    (row,) = tables.of_classes(Runs([mixed])).rows
    assert row[1:] == ["service", "gold", "20", "80.00%", "95.00%", "19.0"]


def test_memory_has_a_table_of_the_runs_that_tell_it() -> None:
    told = [run("service", seed=n, memory_mib={"contestant": {"begin": 90.0 + n, "most": 95.0 + n}}) for n in (1, 2, 3)]
    table = tables.of_memory(Runs([*told, run("naive")]))
    assert [row[1:] for row in table.rows] == [["service", "92.0 (91.0 to 93.0)", "97.0 (96.0 to 98.0)"]]


def test_the_ratios_of_a_terminal_say_what_was_not_run(content: dict[str, Any]) -> None:
    lines = report.ratio_lines(content)
    assert "R9   not run (Kafka: apache; –; target ≥ 0.95)" in lines
    assert "R3   0.99 (0.99 to 0.99), 2 rounds (Kafka: apache; SLO 50 ms; target ≥ 0.95, met)" in lines


def test_results_without_runs_make_a_report(tmp_path: Path) -> None:
    written = report.write(document(calibration=None), tmp_path)
    assert "a processor" in text(ElementTree.fromstring(written.read_text()))


def test_a_throughput_that_was_not_found_is_not_one_that_was_not_run() -> None:
    runs = [run("service", scenario="throughput", void="late"), run("peer")]
    assert tables.of_throughput(Runs(runs)).rows == [
        ["service", "not found", "not run"],
        ["peer", "not run", "not run"],
    ]


def test_void_runs_alone_make_a_report(tmp_path: Path) -> None:
    written = report.write(document(run("service", void="late")), tmp_path)
    assert "not run" in text(ElementTree.fromstring(written.read_text()))


def test_a_run_without_answers_makes_a_report(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("p50", "p90", "p99", "p99_9", "max"))
    empty = [{**row, "receipt_p99_ms": None} for row in seconds(sent=[5, 50, 5], in_time=[0, 0, 0])]
    silent = {"counts": {"lost": 1_000}, "append_ms": nothing, "receipt_ms": nothing, "per_second": empty}
    more = {"answered_per_s": None, "receipt_histogram": run("x")["receipt_histogram"], **silent}
    runs = [run(name, scenario=scenario, **more) for name in ("service", "peer") for scenario in ("steady", "spike")]
    assert report.write(document(*runs), tmp_path).stat().st_size > 0


def test_the_command_reads_a_file(tmp_path: Path, content: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "results.json"
    file.write_text(json.dumps(document(run("service"))))
    report.command(file, tmp_path / "out")
    assert "R9   not run" in capsys.readouterr().out
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_report_goes_beside_its_results_if_nothing_else_is_said(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text(json.dumps(document(run("service"))))
    report.command(file)
    assert (tmp_path / "report.html").is_file()
    with pytest.raises(LoadTestError, match="there is no file"):
        report.command(tmp_path / "none.json")


@pytest.mark.parametrize("found", ["", "[]", "{}", '{"runs": 1}', '{"runs": [{"contestant": "x"}]}'])
def test_what_is_no_file_of_results_is_told_in_one_line(tmp_path: Path, found: str) -> None:
    file = tmp_path / "results.json"
    file.write_text(found)
    with pytest.raises(LoadTestError, match=r"python -m loadtest run") as raised:
        report.read(file)
    assert "\n" not in str(raised.value)
