"""The command line as a user meets it: help everywhere, one line for what can be mended."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from grpc._cython import cygrpc

from inferstream.cli import GRPC

NOWHERE = {"INFERSTREAM__KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"}


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("INFERSTREAM__")}
    return subprocess.run(
        [sys.executable, "-m", "inferstream", *arguments],
        capture_output=True, text=True, timeout=60, env={**clean, **environ}, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "check",
        "settings",
        "metrics",
        "slo",
        "plan",
        "topics",
        "models copy",
        "demo",
        "produce",
        "tail",
        "audit",
        "dlq",
        "replay",
        "resume",
        "models switch",
        "models status",
        "models canary",
        "local up",
        "local status",
        "local down",
    ],
)
def test_every_command_explains_itself(command: str) -> None:
    done = run(*command.split(), "--help")
    assert done.returncode == 0
    assert f"inferstream {command}" in done.stdout


def test_the_version_is_told() -> None:
    from inferstream import __version__

    assert run("--version").stdout.strip() == f"inferstream {__version__}"


@pytest.mark.parametrize(
    ("arguments", "environ", "code", "said"),
    [
        (["run"], {"INFERSTREAM__KAFKA__BOOTSTRAP_SERVER": "x"}, 2, "did you mean 'kafka.bootstrap_servers'?"),
        (["run"], {"INFERSTREAM__PIPELINES__FRAUD__TASK": "nothing"}, 2, "task 'nothing' is not installed"),
        (["run", "-s", "none.yaml"], {}, 2, "settings file none.yaml does not exist"),
        (["check"], {"INFERSTREAM__TRITON__URL": ""}, 2, "triton.url: write host:port"),
        (["audit", "-p", "x"], {}, 2, "there is no pipeline 'x'; there are: fraud"),
        (["produce", "--file", "none.jsonl"], {}, 2, "--file none.jsonl cannot be read"),
        (["dlq", "--since", "noon"], {}, 2, "--since 'noon' is no time"),
        (["dlq", "--show", "7"], {}, 2, "write PARTITION@OFFSET"),
        (["dlq", "--show", "1@73", "--count"], {}, 2, "give one of them"),
        (["dlq", "--cause", "invald"], {}, 2, "did you mean 'invalid'?"),
        (["replay", "--since", "30s", "--until", "40s"], {}, 2, "must be later than"),
        (["audit", "--from-offset", "3"], {}, 2, "give --partition too"),
        (["produce", "--timeout", "0.1"], NOWHERE, 4, "no answer from Kafka at 127.0.0.1:9"),
        (["tail", "--timeout", "0.1"], NOWHERE, 4, "no answer from Kafka at 127.0.0.1:9"),
        (["topics", "--partitions", "1", "--timeout", "0.1"], NOWHERE, 4, "no answer from Kafka at 127.0.0.1:9"),
        (["models", "copy", "/proc/x"], {}, 2, "/proc/x cannot be written: "),
        (["local", "up", "--folder", "/proc/x"], {}, 1, "folder /proc/x cannot be used: "),
        (["demo", "--pipeline", "everything"], {}, 2, "example 'everything' has several pipelines, and a demo shows"),
        (["check", "-s", "/dev/null/x"], {}, 2, "settings file /dev/null/x does not exist"),
    ],
)  # fmt: skip
def test_what_a_user_can_mend_is_one_line_and_a_code(
    arguments: list[str], environ: dict[str, str], code: int, said: str
) -> None:
    done = run(*arguments, **environ)
    assert done.returncode == code, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("inferstream: error: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert "Traceback" not in done.stderr
    assert "Unclosed" not in done.stderr


PLAN = ["plan", "--alpha-ms", "1", "--beta-ms", "1"]


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        *((["check", "--timeout", seconds], "--timeout") for seconds in ("nan", "inf", "0", "-1", "1e300")),
        *((["tail", "--timeout", seconds], "--timeout") for seconds in ("nan", "inf", "0")),
        (["models", "status", "--timeout", "inf"], "--timeout"),
        (["models", "switch", "2", "--load-timeout", "inf"], "--load-timeout"),
        (["audit", "--wait", "inf"], "--wait"),
        *(([*PLAN, "--rate", rate], "--rate") for rate in ("nan", "inf", "1e300")),
        ([*PLAN, "--rate", "1", "--instances", "1" + "0" * 400], "--instances"),
        (["produce", "--rate", "inf"], "--rate"),
        (["replay", "--rate", "inf"], "--rate"),
        (["produce", "--count", "1" + "0" * 20], "--count"),
        (["produce", "--seed", "-1"], "--seed"),
        (["demo", "--seed", "-1"], "--seed"),
        (["local", "up", "--folder", __file__], "--folder"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else value,
)
def test_a_value_that_an_option_does_not_take_is_refused_by_its_name(arguments: list[str], option: str) -> None:
    done = run(*arguments, **NOWHERE)
    assert done.returncode == 2, done.stderr
    assert f"Error: Invalid value for '{option}'" in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_may_come_through_a_pipe_though_not_for_workers_who_read_them_again() -> None:
    pipe = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:], input=b'kafka: {client_id: me}').returncode)"
    command = [sys.executable, "-c", pipe, sys.executable, "-m", "inferstream"]
    shown = subprocess.run([*command, "settings", "--effective", "-s", "/dev/stdin"], capture_output=True, check=True)
    assert b"client_id: me" in shown.stdout
    refused = subprocess.run(
        [*command, "run", "--workers", "2", "-s", "/dev/stdin"], capture_output=True, timeout=60, check=False
    )
    assert refused.returncode == 2
    assert b"name a file, no pipe" in refused.stderr


def test_check_lists_all_that_is_wrong_at_once() -> None:
    nowhere = {"INFERSTREAM__KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9", "INFERSTREAM__TRITON__URL": "127.0.0.1:9"}
    done = run("check", "--timeout", "0.3", **nowhere)
    assert done.returncode == 1
    assert "FAIL broker" in done.stdout
    assert "FAIL model server" in done.stdout
    assert "ok   student of 'fraud'" in done.stdout


def test_check_warns_of_classes_that_wait_for_each_other() -> None:
    fraud = {"SLO_MS": "300", "SLO_CLASSES": '{"batch": 60000}'}
    for delivery, is_warned in (("exactly_once", True), ("at_least_once", False)):
        asked = {f"INFERSTREAM__PIPELINES__FRAUD__{name}": v for name, v in {**fraud, "DELIVERY": delivery}.items()}
        nowhere = {"INFERSTREAM__KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9", "INFERSTREAM__TRITON__URL": "127.0.0.1:9"}
        said = run("check", "--timeout", "0.3", **nowhere, **asked).stdout
        assert ("warn classes of 'fraud'" in said and "those of 300 ms for those of 60000 ms" in said) == is_warned


def test_settings_in_force_can_be_read_again(tmp_path: Path) -> None:
    login = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_USERNAME": "u", "SASL_PASSWORD": "s3cret", "CLIENT_ID": "me"}
    shown = run("settings", "--effective", **{f"INFERSTREAM__KAFKA__{name}": value for name, value in login.items()})
    assert "s3cret" not in shown.stdout
    file = tmp_path / "settings.yaml"
    file.write_text(shown.stdout)
    assert "client_id: me" in run("settings", "--effective", "-s", str(file)).stdout


def test_local_commands_without_a_stack_say_so(tmp_path: Path) -> None:
    for command, code in (("status", 1), ("down", 0)):
        done = run("local", command, "--folder", str(tmp_path))
        assert done.returncode == code
        assert "no local stack in" in done.stderr


def test_grpc_is_told_how_to_wait_before_it_is_imported() -> None:
    """It looks once. And a version that knows the experiment no more would say nothing."""
    ran = subprocess.run(
        [sys.executable, "-c", "import sys, inferstream.cli; print('grpc' in sys.modules)"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert ran.stdout.strip() == "False"
    name = GRPC["GRPC_EXPERIMENTS"].removeprefix("-")
    assert name.encode() in Path(cygrpc.__file__).read_bytes()
