"""The schema of a settings file says what the service takes."""

import json
from typing import Any

import jsonschema
import pytest

from inferstream.errors import SettingsError
from inferstream.operate.settings_schema import schema
from inferstream.settings import Settings, load


def is_allowed(given: dict[str, Any]) -> bool:
    return bool(jsonschema.Draft7Validator(schema()).is_valid(given))


def is_taken(given: dict[str, Any]) -> bool:
    try:
        load(environ={f"INFERSTREAM__{name.upper()}": json.dumps(value) for name, value in given.items()})
    except SettingsError:
        return False
    return True


def test_it_is_a_schema_and_allows_the_settings_in_force() -> None:
    jsonschema.Draft7Validator.check_schema(schema())
    assert is_allowed(Settings().model_dump(mode="json"))


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({}, True),
        ({"pipelines": {"fraud": {"slo_ms": 20, "slo_classes": {"gold": 5, "slow": {"slo_ms": 9}}}}}, True),
        ({"triton": {"shared_memory": False}}, True),
        ({"pipelines": {"fraud": {"options": {"review": 0.2}}}}, True),
        ({"pipelines": {}}, False),
        ({"pipelines": {"Fraud": {}}}, False),
        ({"pipelines": {"fraud": {"slo_classes": {"gold": 0}}}}, False),
        ({"pipelines": {"fraud": {"slo_classes": {"gold": {"slo": 5}}}}}, False),
        ({"kafka": {"bootstrap_server": "a:1"}}, False),
        ({"triton": {"shared_memory": "on"}}, False),
        ({"web": {"port": 70_000}}, False),
    ],
)
def test_it_allows_what_the_service_takes(given: dict[str, Any], allowed: bool) -> None:
    assert (is_allowed(given), is_taken(given)) == (allowed, allowed)


def test_every_setting_is_described() -> None:
    whole = schema()
    for definition in whole["definitions"].values():
        for name, known in definition.get("properties", {}).items():
            assert "$ref" in known or known["description"], name
