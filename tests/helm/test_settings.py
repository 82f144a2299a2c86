"""The settings file in the chart is one the service takes, and says what the values say."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from helm.generate import generated
from tests.helm.rendering import CHART, Helm, Object, Rendered, container, containers, example

from inferstream.settings import load
from inferstream.settings import table as settings_table

SECRET_SETTINGS = ("SASL_PASSWORD", "SASL_USERNAME", "KEY", "SECRET")


def test_the_chart_follows_the_code() -> None:
    """If this fails: python -m helm.generate."""
    for path, text in generated().items():
        assert (CHART / path).read_text() == text, path


def test_the_service_takes_the_rendered_settings(rendered: Rendered, tmp_path: Path) -> None:
    assert rendered.settings(tmp_path).pipelines


def test_values_become_settings(helm: Helm, tmp_path: Path) -> None:
    settings = helm.render(example("secured")).settings(tmp_path)
    assert settings.kafka.bootstrap_servers == "kafka-0:9093,kafka-1:9094,kafka-2"
    assert settings.triton.max_message_bytes == 67_108_864
    assert settings.triton.shared_memory == "off"
    assert settings.pipelines["cards"].slo_classes["gold"].slo_ms == 20
    assert settings.pipelines["cards"].slo_classes["batch"].slo_ms == 120_000


def test_what_is_not_said_stays_the_service_s_default(helm: Helm, tmp_path: Path) -> None:
    given = helm.render({}).settings(tmp_path).model_dump()
    given["triton"]["url"] = "localhost:8001"
    assert given == load(environ={}).model_dump()


def test_secrets_come_from_secrets_only(rendered: Rendered) -> None:
    for _, pod in rendered.pods():
        for each in containers(pod):
            for variable in each.get("env", []):
                if variable["name"].endswith(SECRET_SETTINGS):
                    assert "secretKeyRef" in variable.get("valueFrom", ()) or variable["value"] == "closed=$(POD_UID)"
    for secret in ("sasl_password", "ssl_key_password", "oauth_client_secret", "model_control_key", "access_key"):
        assert f"{secret}:" not in rendered.settings_text


def test_files_the_settings_name_are_mounted(rendered: Rendered, tmp_path: Path) -> None:
    settings = rendered.settings(tmp_path)
    kafka = settings.kafka
    named = [kafka.ssl_ca_file, kafka.ssl_certificate_file, kafka.ssl_key_file, kafka.ssl_key_password_file]
    named += [
        kafka.sasl_username_file,
        kafka.sasl_password_file,
        kafka.oauth_client_secret_file,
        kafka.oauth_token_file,
    ]
    named += [settings.triton.ca_file, settings.triton.certificate_file, settings.triton.key_file]
    named += [settings.triton.access_key_file]
    folders = {Path(mount["mountPath"]) for mount in container(rendered.service, "service")["volumeMounts"]}
    for file in named:
        assert file is None or file.parent in folders


def test_the_secured_example_names_a_certificate_of_its_own(helm: Helm, tmp_path: Path) -> None:
    rendered = helm.render(example("secured"))
    kafka = rendered.settings(tmp_path).kafka
    secrets = {v["name"]: v["secret"]["secretName"] for v in rendered.service["volumes"] if "secret" in v}
    certificate = rendered.one("Certificate", "-kafka")["spec"]
    assert secrets == {
        "kafka-login": "kafka-user",
        "kafka-tls": "kafka-authority",
        "kafka-certificate": certificate["secretName"],
    }
    assert kafka.sasl_username_file == Path("/etc/kafka-login/username")
    assert kafka.sasl_password_file == Path("/etc/kafka-login/password")
    assert kafka.ssl_ca_file == Path("/etc/kafka-tls/ca.crt")
    assert kafka.ssl_certificate_file == Path("/etc/kafka-certificate/tls.crt")


def test_a_user_may_be_a_setting_beside_its_password_in_a_secret(helm: Helm, tmp_path: Path) -> None:
    values = {"security_protocol": "SASL_SSL", "sasl_username": "svc"}
    rendered = helm.render({"kafka": {"sasl": {"existingSecret": "login"}}, "config": {"kafka": values}})
    kafka = rendered.settings(tmp_path).kafka
    assert (kafka.sasl_username, kafka.sasl_username_file) == ("svc", None)
    (volume,) = [v["secret"] for v in rendered.service["volumes"] if v["name"] == "kafka-login"]
    assert [each["path"] for each in volume["items"]] == ["password"]


def test_a_token_of_the_service_account_is_where_the_settings_say(helm: Helm, tmp_path: Path) -> None:
    kafka = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}
    rendered = helm.render({"kafka": {"oauth": {"tokenAudience": "brokers"}}, "config": {"kafka": kafka}})
    (volume,) = [v for v in rendered.service["volumes"] if v["name"] == "kafka-oauth"]
    (source,) = volume["projected"]["sources"]
    assert source == {"serviceAccountToken": {"audience": "brokers", "path": "token"}}
    assert rendered.settings(tmp_path).kafka.oauth_token_file == Path("/etc/kafka-oauth/token")


def test_the_pods_may_ask_for_a_token(helm: Helm) -> None:
    egress = helm.render(example("oauth")).of("NetworkPolicy")[0]["spec"]["egress"]
    assert {"ports": [{"port": 8443, "protocol": "TCP"}]} in egress


def test_pods_of_a_fixed_number_are_members_under_their_names(helm: Helm) -> None:
    def members(values: Object) -> list[Any]:
        env = container(helm.render(values).service, "service")["env"]
        return [e["valueFrom"] for e in env if e["name"] == "INFERSTREAM__KAFKA__GROUP_INSTANCE_ID"]

    assert members(example("static")) == [{"fieldRef": {"fieldPath": "metadata.name"}}]
    assert members({}) == []


def test_every_value_is_described_and_every_default_allowed() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.Draft7Validator(schema).validate(values)
    for path, known, given in walk(schema, values):
        if known["type"] == "object" and "properties" in known:
            assert known["additionalProperties"] is False, path
            unset = set(known["properties"]) - set(given) - {"global", "enabled", "timeoutSeconds", "successThreshold"}
            assert path == "config" or not unset, f"{path}: values.yaml says nothing of {unset}"
        assert path == "" or known["description"], path


def walk(schema: Object, values: Object, path: str = "") -> Any:
    yield path, schema, values
    for name, known in schema.get("properties", {}).items():
        if path != "config" and isinstance(values.get(name), dict) and "properties" in known:
            yield from walk(known, values[name], f"{path}.{name}".strip("."))


@pytest.mark.parametrize("path", [row.path for row in settings_table() if row.default and "<name>" not in row.path])
def test_every_setting_can_be_a_value(helm: Helm, path: str) -> None:
    default = next(row.default for row in settings_table() if row.path == path)
    value: Any = json.loads(default)
    if path in ("triton.url", "demo.rate"):
        return
    for part in reversed(path.split(".")):
        value = {part: value}
    helm.render({"config": value})
