"""Codecs: bytes to typed events and outcomes to bytes. Entry points `inferstream.codecs` add more.

A codec is named by a record's `content-type` header, else by the pipeline's setting.
"""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Protocol

import msgspec

from inferstream.errors import SettingsError


class Codec(Protocol):
    """Turns bytes into a value of a given type and back.

    A decoder raises `msgspec.ValidationError` for well-formed bytes of the wrong type and any other exception
    for malformed bytes; the decode stage makes both a dead letter.
    """

    @property
    def name(self) -> str: ...
    @property
    def content_type(self) -> str: ...
    def decoder(self, of: Any) -> Callable[[bytes], Any]: ...
    def encode(self, value: Any) -> bytes: ...


def _plain(value: Any) -> Any:
    """numpy's numbers and arrays, which a task may well return, as plain ones."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise NotImplementedError(f"a result may not hold a {type(value).__name__}")


def _no_extension(code: int, data: memoryview) -> Any:
    """An event holds no type that only its producer knows."""
    raise ValueError("extension types are not taken")


class _Msgpack:
    name = "msgpack"
    content_type = "application/msgpack"

    def decoder(self, of: Any) -> Callable[[bytes], Any]:
        decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(of, ext_hook=_no_extension).decode
        return decode

    def __init__(self) -> None:
        self.encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode


class _Json:
    name = "json"
    content_type = "application/json"

    def decoder(self, of: Any) -> Callable[[bytes], Any]:
        decode: Callable[[bytes], Any] = msgspec.json.Decoder(of).decode
        return decode

    def __init__(self) -> None:
        self.encode = msgspec.json.Encoder(enc_hook=_plain).encode


MSGPACK: Codec = _Msgpack()
JSON: Codec = _Json()


def installed() -> dict[str, Codec]:
    """All codecs of this installation, by name."""
    return {point.name: point.load() for point in entry_points(group="inferstream.codecs")}


def by_name(name: str) -> Codec:
    """The codec a setting names. Raises SettingsError if none is installed under it."""
    codecs = installed()
    if name not in codecs:
        raise SettingsError(f"codec '{name}' is not installed; known codecs: {', '.join(sorted(codecs))}")
    return codecs[name]
