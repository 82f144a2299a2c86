"""Codecs: found by name, faithful both ways."""

import json

import msgpack
import msgspec
import pytest

from inferstream.errors import SettingsError
from inferstream.events import codecs
from inferstream.testing import Reading

BODIES = {"msgpack": msgpack.packb, "json": lambda body: json.dumps(body).encode()}


@pytest.mark.parametrize("name", ["msgpack", "json"])
def test_a_codec_reads_what_another_library_wrote_and_back(name: str) -> None:
    codec = codecs.by_name(name)
    reading = codec.decoder(Reading)(BODIES[name]({"id": "a", "values": [1, 2.5, 3], "unknown": {"x": 1}}))
    assert reading == Reading("a", [1.0, 2.5, 3.0])
    unpack = msgpack.unpackb if name == "msgpack" else json.loads
    assert unpack(codec.encode(reading)) == {"id": "a", "values": [1.0, 2.5, 3.0]}


@pytest.mark.parametrize("name", ["msgpack", "json"])
def test_well_formed_bytes_of_the_wrong_type_are_told_from_malformed_ones(name: str) -> None:
    decode = codecs.by_name(name).decoder(Reading)
    with pytest.raises(msgspec.ValidationError):
        decode(BODIES[name]({"id": 1, "values": []}))
    with pytest.raises(msgspec.DecodeError) as malformed:
        decode(b"\xc1{")
    assert not isinstance(malformed.value, msgspec.ValidationError)


def test_an_unknown_codec_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="codec 'avro' is not installed; known codecs: json, msgpack"):
        codecs.by_name("avro")


def test_content_types_are_distinct() -> None:
    types = [codec.content_type for codec in codecs.installed().values()]
    assert sorted(types) == ["application/json", "application/msgpack"]


def test_extension_types_are_refused() -> None:
    extended = msgpack.packb({"id": "a", "values": [1.0, 2.0, 3.0], "x": msgpack.ExtType(7, b"anything")})
    assert codecs.MSGPACK.decoder(Reading)(extended).id == "a"  # of an unknown field nothing is made
    with pytest.raises(ValueError, match="extension types"):
        codecs.MSGPACK.decoder(dict)(extended)
