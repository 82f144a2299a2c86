"""The schema of shadow scores and the type that is written say the same."""

import json
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest
from jsonschema import Draft202012Validator

from inferstream.events import codecs
from inferstream.events.outcome import Answerer
from inferstream.events.shadow import SCHEMA, ShadowScore

SCHEMAS = Path(__file__).parents[2] / "schemas"
DOCUMENT: dict[str, Any] = json.loads((SCHEMAS / f"{SCHEMA}.json").read_text())
GOLDEN: dict[str, Any] = json.loads((SCHEMAS / "examples" / "shadow_score.json").read_text())
JUDGE = Draft202012Validator(DOCUMENT)


def test_the_fields_are_the_types_and_all_are_required() -> None:
    assert set(DOCUMENT["properties"]) == set(DOCUMENT["required"]) == set(ShadowScore.__struct_fields__)
    assert set(DOCUMENT["$defs"]["answerer"]["properties"]) == set(Answerer.__struct_fields__)


@pytest.mark.parametrize("codec", [codecs.JSON, codecs.MSGPACK])
def test_what_is_written_fits_in_both_codecs(codec: codecs.Codec) -> None:
    score = msgspec.convert(GOLDEN, ShadowScore)
    raw = codec.encode(score)
    document = json.loads(raw) if codec is codecs.JSON else msgpack.unpackb(raw)
    JUDGE.validate(document)
    assert document == GOLDEN


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", "x"),
        ("differences", {"probability": -0.1}),
        ("differences", {"probability": "large"}),
        ("shadow", {"kind": "rules", "name": "n", "version": "1"}),
        ("infer_us", 1.5),
    ],
)
def test_what_the_service_never_says_is_refused(field: str, value: Any) -> None:
    assert JUDGE.is_valid({**GOLDEN, "added_later": 1})
    assert not JUDGE.is_valid({**GOLDEN, field: value})
    assert not JUDGE.is_valid({name: each for name, each in GOLDEN.items() if name != field})
