"""settings --json-schema: what a settings file may hold, as JSON Schema, for editors and for the Helm chart."""

import json
from collections.abc import Mapping
from typing import Any

from inferstream.settings import Settings

Schema = dict[str, Any]


def show_schema() -> None:
    """Print it."""
    print(json.dumps(schema(), indent=1))


def schema() -> Schema:
    """As draft-07, every object closed, `definitions` by the names of the models.

    What validators accept besides a field's own type is added; that several settings must fit each other is not said.
    """
    told = json.loads(json.dumps(Settings.model_json_schema()).replace("#/$defs/", "#/definitions/"))
    definitions = told.pop("$defs")
    _accept_what_validators_do(definitions)
    closed: Schema = _closed({**told, "definitions": definitions})
    return {"$schema": "http://json-schema.org/draft-07/schema#", **closed}


def _accept_what_validators_do(definitions: Schema) -> None:
    slo_ms = definitions["SloClassSettings"]["properties"]["slo_ms"]
    by_name = {"anyOf": [{key: slo_ms[key] for key in slo_ms if key != "title"}, definitions.pop("SloClassSettings")]}
    definitions["SloClassSettings"] = by_name
    shared_memory = definitions["TritonSettings"]["properties"]["shared_memory"]
    shared_memory |= {"type": ["string", "boolean"], "enum": [*shared_memory["enum"], False]}  # YAML's bare `off`


def _closed(given: Any) -> Any:
    """Without the titles that only repeat a name, defaults of a `$ref` (they are its own), and unmatched names."""
    if isinstance(given, list):
        return [_closed(each) for each in given]
    if not isinstance(given, Mapping):
        return given
    found = {
        key: {name: _closed(each) for name, each in value.items()} if _names_things(key) else _closed(value)
        for key, value in given.items()
        if not (key == "title" or (key == "default" and _is_whole(value)))
    }
    return {**found, "additionalProperties": False} if "patternProperties" in found else found


def _names_things(key: str) -> bool:
    return key in ("properties", "definitions", "patternProperties")


def _is_whole(default: Any) -> bool:
    return isinstance(default, dict) and bool(default)
