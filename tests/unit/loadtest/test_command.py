"""What is typed wrong is told at once, before anything is started, in one line and with exit code 2."""

from pathlib import Path

import pytest
from loadtest import __main__ as command
from loadtest import store
from loadtest.errors import LoadTestError
from loadtest.place import Topics
from tests.unit.loadtest.results import document, run


@pytest.fixture(autouse=True)
def _nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object, **__: object) -> None:
        raise AssertionError("the stack was started")

    monkeypatch.setattr(command, "Bench", start)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("run stedy", "did you mean 'steady'?"),
        ("run steady --contestant servce", "there is no contestant 'servce'; did you mean 'service'?"),
        ("run steady --contestant service --contestant servce", "did you mean 'service'?"),
        ("run steady --kafka apach", "--kafka apach: did you mean 'apache'?"),
        ("run steady --options {", "--options is not JSON"),
        ("run steady --input a --output b", "need --kafka host:port"),
        ("run steady --kafka k:1 --input a --output a", "must name different topics"),
        ("run steady --kafka k:1 --input a --output b --dead-letters b", "must name different topics"),
        ("run steady --kafka k:1 --input a --output b --contestant naive", "--contestant and --options are not for"),
        ('run steady --kafka k:1 --input a --output b --options {"a":1}', "--contestant and --options are not for"),
        ("run steady --out /dev/null/x", "--out /dev/null/x cannot be written to: Not a directory"),
        ("bench --quick --out /dev/null/x", "--out /dev/null/x cannot be written to: Not a directory"),
        ("run replay", "recording events.jsonl cannot be read: No such file or directory; key `file`"),
        ("bench --quick --medium", "give --quick or --medium, not both"),
        ("bench --quick --contestant flnk", "did you mean 'flink'?"),
        ("bench --quick --scenario goodptu", "did you mean 'goodput'?"),
        ("bench --resume --out /nowhere", "there is no file /nowhere/results.json to go on with"),
        ("bench --kafka zzz", "known here: embedded, apache, host:port"),
    ],
)
def test_a_mistake_is_told_at_once(
    given: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["loadtest", *given.split()])
    with pytest.raises(SystemExit) as raised:
        command.main()
    said = capsys.readouterr().err
    assert raised.value.code == 2
    assert told in said
    assert len(said.splitlines()) == 1


def test_results_of_another_broker_are_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store.save(tmp_path, document(run("service", kafka="embedded")))
    monkeypatch.setattr("sys.argv", ["loadtest", "bench", "--kafka", "apache", "--resume", "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as raised:
        command.main()
    assert raised.value.code == 2
    assert "on another broker (embedded) than these (apache)" in capsys.readouterr().err


def test_a_service_of_ones_own_that_answers_nothing_is_no_result(capsys: pytest.CaptureFixture[str]) -> None:
    """It does not run, or does not copy the header by which its outcomes are known. One that loses some is told of."""
    topics = Topics("in", "out", None)
    nothing, some = ([run("yours", counts={"in_time": 1_000 - n, "lost": n})] for n in (1_000, 7))
    with pytest.raises(LoadTestError, match=r"nothing came back on topic 'out'.*read 'in' and copy the header load-id"):
        command._check_answers(topics, nothing)
    command._check_answers(topics, some)
    command._print(some)
    assert "lost: yours steady at 1,000/s: 7 of 1,000 events have no outcome" in capsys.readouterr().out
