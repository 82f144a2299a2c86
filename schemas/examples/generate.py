"""Write the msgpack form of every golden example from its JSON form, or with `--check` say which do not agree.

The JSON files are the source. They are packed with the `msgpack` library, which the service does not use on its
data path, so that two implementations have to agree on the bytes. What a schema says is base64 in JSON is bytes
in msgpack.
"""

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack

_HERE = Path(__file__).parent


def packed(name: str, document: Any) -> bytes:
    """An example, by the name of its file, in msgpack."""
    schema = _HERE.parent / f"{name.split('.')[0]}.v1.json"
    binary = set(_binary_fields(json.loads(schema.read_text()))) if schema.exists() else set()
    return bytes(msgpack.packb(_with_bytes(document, binary)))


def _binary_fields(schema: Any) -> Iterator[str]:
    """Names of the fields that a schema says are bytes."""
    for name, part in schema.items() if isinstance(schema, dict) else ():
        for field, of in part.items() if name == "properties" else ():
            if "contentEncoding" in of:
                yield field
        yield from _binary_fields(part)
    for part in schema if isinstance(schema, list) else ():
        yield from _binary_fields(part)


def _with_bytes(document: Any, binary: set[str], name: str = "") -> Any:
    if isinstance(document, dict):
        return {key: _with_bytes(value, binary, key) for key, value in document.items()}
    if isinstance(document, list):
        return [_with_bytes(value, binary) for value in document]
    is_binary = isinstance(document, str) and name in binary
    return base64.b64decode(document) if is_binary else document


def main(arguments: list[str]) -> int:
    differing = []
    for source in sorted(_HERE.rglob("*.json")):
        target = source.with_suffix(".msgpack")
        content = packed(source.name, json.loads(source.read_text()))
        if "--check" not in arguments:
            target.write_bytes(content)
        elif not target.exists() or target.read_bytes() != content:
            differing.append(target.name)
    if differing:
        print(f"not what their JSON says: {', '.join(differing)}; run {Path(__file__).name}", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
