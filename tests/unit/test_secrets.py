"""What is secret has a type of its own, wherever it is in the settings, and is shown by nothing."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel, SecretBytes, SecretStr
from typer.testing import CliRunner

from inferstream.cli import app
from inferstream.errors import SettingsError
from inferstream.settings import Settings, load
from inferstream.settings.listing import MAPPINGS
from inferstream.telemetry import redaction

_SMELLS = re.compile(r"passw|secret|token|credential|private|(^|_)key$|authorization|passphrase", re.IGNORECASE)
_PLACES = re.compile(r"_(file|url|path|folder|env|name)s?$")  # where a secret is, not the secret
PLANTED = "planted-5up3r-s3cr3t"


def fields(model: type[BaseModel], parents: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every setting with its type."""
    for name, field in model.model_fields.items():
        path = (*parents, name)
        inner = MAPPINGS.get(path, field.annotation)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from fields(inner, (*path, "<name>") if path in MAPPINGS else path)
        else:
            yield ".".join(path), field.annotation


def is_secret(annotation: Any) -> bool:
    return annotation in (SecretStr, SecretBytes) or any(is_secret(part) for part in get_args(annotation))


SECRETS = [path for path, annotation in fields(Settings) if is_secret(annotation)]


def test_what_is_called_like_a_secret_is_one() -> None:
    suspicious = [path for path, _ in fields(Settings) if _SMELLS.search(path.rpartition(".")[2])]
    assert len(suspicious) >= 2
    known = dict(fields(Settings))
    assert [path for path in suspicious if not is_secret(known[path]) and not _PLACES.search(path)] == []


_SASL = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_USERNAME": "u", "SASL_PASSWORD": "p"}
_OAUTH = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "OAUTHBEARER"}
_BESIDE = {
    "kafka.sasl_password": _SASL,
    "kafka.ssl_key_password": {"SECURITY_PROTOCOL": "SSL", "SSL_CERTIFICATE_FILE": "own.pem"},
    "kafka.oauth_client_secret": {**_OAUTH, "OAUTH_TOKEN_URL": "https://id.example/token", "OAUTH_CLIENT_ID": "u"},
}


def planted(path: str) -> dict[str, str]:
    """Variables that set the secret, and what it makes no sense without."""
    beside = {f"INFERSTREAM__KAFKA__{name}": value for name, value in _BESIDE.get(path, {}).items()}
    return {**beside, "INFERSTREAM__" + path.upper().replace(".", "__"): f"name={PLANTED}"}


@pytest.mark.parametrize("path", SECRETS)
def test_a_secret_is_in_no_text_that_is_made_of_the_settings(path: str) -> None:
    settings = load(environ=planted(path))
    shown = [repr(settings), str(settings), settings.model_dump_json(), json.dumps(settings.model_dump(mode="json"))]
    shown.append(str(redaction.redact({"settings": settings, "text": repr(settings)})))
    assert not [text for text in shown if PLANTED in text]


@pytest.mark.parametrize("path", SECRETS)
def test_an_error_beside_a_secret_does_not_tell_it(path: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(environ={**planted(path), "INFERSTREAM__PIPELINES__FRAUD__SLO_MS": PLANTED, "INFERSTREAM__NO": PLANTED})
    assert PLANTED not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "kafka: {{sasl_password: *{}}}",
        "kafka: {{sasl_password: !{} x}}",
        "kafka: {{sasl_password: '{}}}",
        'kafka: {{sasl_password: "\\z{}"}}',
        "kafka: {{sasl_password: [{}]}}",
        "kafka: {{sasl_password: {{a: {}}}}}",
        "kafka:\n  sasl_password: {}: x",
        "kafka:\n  sasl_password: {}\n bad",
        "kafka:\n\t{}",
    ],
)
def test_a_settings_file_that_cannot_be_read_is_told_without_its_content(text: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text.format(PLANTED))
    with pytest.raises(SettingsError) as refused:
        load(file, {})
    assert PLANTED not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("command", [["settings"], ["check"], ["run"], ["tail"], ["dlq"], ["audit"]])
def test_no_command_tells_one_when_it_fails(
    command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nobody answers at the addresses; the passwords are wrong as well."""
    here = {"bootstrap_servers": "127.0.0.1:1", "start_timeout_ms": 300, "request_timeout_ms": 300}
    login = {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "u", "sasl_password": PLANTED}
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump({"kafka": {**here, **login, "sasl_mechanism": "PLAIN"}}))
    monkeypatch.setenv("INFERSTREAM__TRITON__MODEL_CONTROL_KEY", f"key={PLANTED}")
    monkeypatch.setenv("INFERSTREAM__TRITON__URL", "127.0.0.1:1")
    monkeypatch.setenv("INFERSTREAM__TRITON__START_TIMEOUT_MS", "300")
    monkeypatch.setenv("INFERSTREAM__WEB__PORT", "0")
    arguments = command if command == ["settings"] else [*command, "-s", str(file)]
    ran = CliRunner().invoke(app, arguments)
    assert (ran.exit_code == 0) == (command == ["settings"])
    assert PLANTED not in ran.output + repr(ran.exception)
