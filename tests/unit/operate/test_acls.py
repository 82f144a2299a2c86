"""The rights that `inferstream acls` prints."""

import json
import shlex
from pathlib import Path

import pytest

from inferstream.errors import SettingsError
from inferstream.operate.acls import show_acls
from inferstream.settings import load

NEEDED = {
    ("READ", "topic", "transactions"),
    ("READ", "group", "inferstream-fraud"),
    ("WRITE", "topic", "outcomes"),
    ("WRITE", "topic", "dead-letters"),
}


def shown(capsys: pytest.CaptureFixture[str], environ: dict[str, str], *tools: str) -> list[dict[str, str]]:
    prefix = "INFERSTREAM__PIPELINES__FRAUD__"
    show_acls(load(environ={prefix + k: v for k, v in environ.items()}), "User:us", tools, as_json=True)
    found: list[dict[str, str]] = json.loads(capsys.readouterr().out)["acls"]
    return found


def rights(acls: list[dict[str, str]], use: str) -> set[tuple[str, str, str]]:
    return {(acl["operation"], acl["resource"], acl["name"]) for acl in acls if acl["use"] == use}


def test_what_the_service_needs_follows_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert rights(shown(capsys, {}), "run") == NEEDED
    exactly_once = {"DELIVERY": "exactly_once", "SLO_MS": "500"}
    transactional = ("WRITE", "transactional id", "inferstream-fraud.transactions.")
    assert rights(shown(capsys, exactly_once), "run") == {*NEEDED, transactional}
    shadow = {"SHADOW__MODEL": "other", "SHADOW__TOPIC": "beside"}
    assert rights(shown(capsys, shadow), "run") == {*NEEDED, ("WRITE", "topic", "beside")}


def test_nothing_may_be_made_altered_or_used_by_all(capsys: pytest.CaptureFixture[str]) -> None:
    for acl in shown(capsys, {"DELIVERY": "exactly_once", "SLO_MS": "500"}):
        assert acl["operation"] in ("READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS")
        assert "*" not in acl["name"]
        assert acl["pattern"] == "literal" or acl["resource"] == "transactional id"


def test_commands_are_those_of_kafka_acls(capsys: pytest.CaptureFixture[str]) -> None:
    environ = {
        "INFERSTREAM__PIPELINES__FRAUD__DELIVERY": "exactly_once",
        "INFERSTREAM__PIPELINES__FRAUD__SLO_MS": "500",
    }
    show_acls(load(environ=environ), "User:CN=a b", (), as_json=False)
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines() if line.startswith("kafka-acls")]
    assert len(lines) == 10
    assert all(line[6:8] == ["--allow-principal", "User:CN=a b"] for line in lines)
    prefixed = ["--transactional-id", "inferstream-fraud.transactions.", "--resource-pattern-type", "prefixed"]
    assert ["--operation", "Write", *prefixed] in [line[8:] for line in lines]
    assert ["--operation", "DescribeConfigs", "--topic", "outcomes"] in [line[8:] for line in lines]


def test_tools_have_lists_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    acls = shown(capsys, {}, "replay", "dlq")
    assert {acl["use"] for acl in acls} == {"replay", "dlq"}
    assert ("READ", "group", "inferstream-fraud.replay") in rights(acls, "replay")
    with pytest.raises(SettingsError, match=r"--for 'relay': did you mean 'replay'\? name one of produce, tail"):
        shown(capsys, {}, "relay")
    with pytest.raises(SettingsError, match="--for 'xyz': name one of produce, tail"):
        shown(capsys, {}, "xyz")
    for served in ("run", "check"):
        with pytest.raises(SettingsError, match=f"--for {served}: leave --for out: the plain list is that of run"):
            shown(capsys, {}, "replay", served)


def principal_of(capsys: pytest.CaptureFixture[str], given: str | None, **kafka: str) -> str:
    show_acls(load(environ={f"INFERSTREAM__KAFKA__{k}": v for k, v in kafka.items()}), given, (), as_json=True)
    return str(json.loads(capsys.readouterr().out)["principal"])


def test_without_a_principal_it_is_whom_the_settings_log_in(capsys: pytest.CaptureFixture[str]) -> None:
    login = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_USERNAME": "svc", "SASL_PASSWORD": "hush"}
    assert principal_of(capsys, None, **login) == "User:svc"
    assert principal_of(capsys, "User:other", **login) == "User:other"
    assert principal_of(capsys, None) == "User:inferstream"
    with pytest.raises(SettingsError, match=r"^kafka.sasl_username: .* is no principal"):
        principal_of(capsys, None, **{**login, "SASL_USERNAME": "svc\nrm"})


def test_a_user_in_a_file_is_read_only_if_nobody_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "username"
    login = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_USERNAME_FILE": str(file), "SASL_PASSWORD": "hush"}
    assert principal_of(capsys, "User:other", **login) == "User:other"
    with pytest.raises(SettingsError, match=r"^kafka.sasl_username_file: .*username cannot be read"):
        principal_of(capsys, None, **login)
    file.write_text("svc\n")
    assert principal_of(capsys, None, **login) == "User:svc"


@pytest.mark.parametrize(
    "given", ["svc", "", "User:", ":svc", "User: ", "User:svc\nUser:b", "User:svc\n", "User:a\x1b[2J"]
)
def test_what_is_no_principal_is_refused_in_a_line(capsys: pytest.CaptureFixture[str], given: str) -> None:
    with pytest.raises(SettingsError, match=r"^--principal: .* is no principal: write Type:name") as refused:
        principal_of(capsys, given)
    assert str(refused.value).isprintable()
    assert capsys.readouterr().out == ""


def test_everybody_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    for given, is_warned in (("User:*", True), ("User:us", False)):
        show_acls(load(environ={}), given, (), as_json=True)
        shown = capsys.readouterr()
        assert json.loads(shown.out)["principal"] == given
        assert ("--principal User:* allows it to everybody" in shown.err) is is_warned


def test_each_command_comes_after_why(capsys: pytest.CaptureFixture[str]) -> None:
    show_acls(load(environ={}), "User:us", (), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    commands = [place for place, line in enumerate(lines) if line.startswith("kafka-acls")]
    assert commands
    assert all(lines[place - 1].startswith("#   ") for place in commands)
    (group,) = [place for place in commands if lines[place].endswith("--operation Read --group inferstream-fraud")]
    assert lines[group - 1] == "#   membership and offsets"
