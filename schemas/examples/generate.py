"""Write the msgpack form of every golden example from its JSON form, or with `--check` say which do not agree.

The JSON files are the source. They are packed with the `msgpack` library, which the service does not use on its
data path, so that two implementations have to agree on the bytes.
"""

import json
import sys
from pathlib import Path

import msgpack

_HERE = Path(__file__).parent


def main(arguments: list[str]) -> int:
    differing = []
    for source in sorted(_HERE.rglob("*.json")):
        target = source.with_suffix(".msgpack")
        packed = msgpack.packb(json.loads(source.read_text()))
        if "--check" not in arguments:
            target.write_bytes(packed)
        elif not target.exists() or target.read_bytes() != packed:
            differing.append(target.name)
    if differing:
        print(f"not what their JSON says: {', '.join(differing)}; run {Path(__file__).name}", file=sys.stderr)
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
