"""The first inputs of each target, made of the published examples: `python -m tests.fuzz seeds` writes them."""

from collections.abc import Iterator
from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
_EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"
_SETTINGS = Path(__file__).parents[2] / "service" / "inferstream" / "examples"
_CONTEXT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
_TASKS = ("transaction", "sensor_window", "digit_image", "scene", "prompt", "tensors")
_PATHS = 16  # two for each of eight tasks, see `targets`
_JSON = 16


def write() -> None:
    """Write them all."""
    for target, make in SEEDS.items():
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in make():
            (folder / f"seed-{name}").write_bytes(content)


def _envelope() -> Iterator[tuple[str, bytes]]:
    for path in sorted(_EXAMPLES.rglob("*.msgpack")) + sorted(_EXAMPLES.rglob("*.json")):
        kind = path.name.split(".")[0]
        if kind in _TASKS and path.stat().st_size < 4_096:
            choice = _TASKS.index(kind) + (_JSON if path.suffix == ".json" else 0)
            yield f"{path.parent.name}-{path.name}", bytes([choice]) + path.read_bytes()
    yield "deep", b"\7" + b"\x91" * 2_000
    yield "deep-in-a-field", b"\6\x82\xa2id\xa1a\xa1x" + b"\x91" * 2_000
    yield "deep-json", bytes([7 + _JSON]) + b'{"a":' * 2_000
    yield "extension", b"\7\x81\xa1x\xc7\2\7ab"
    yield "card", bytes([8]) + (_EXAMPLES / "transaction.minimal.json").read_bytes()


def _headers() -> Iterator[tuple[str, bytes]]:
    yield "none", b"\0\1\0\0"
    yield "slo", b"\0\1\0\5\1\1" + b"\1" + b"\2" + b"50"
    yield "class", b"\1\1\0\5\1\2" + b"\2\4gold" + b"\0\15" + b"1772366400050"
    yield "trace", b"\0\1\0\5\1\1" + b"\x08" + bytes([len(_CONTEXT)]) + _CONTEXT
    yield "many", b"\0\1\0\5\0\x40" + b"\x12\x01x" * 512
    yield "no-digits", b"\0\1\0\5\1\5" + b"\x0c\2in" + b"\x0d\2\xc2\xb2" + b"\x0e\2\xc2\xb2" + b"\x10\2\xc2\xb2" * 2
    yield "replayed", b"\0\1\0\5\1\5" + b"\x0c\x02in" + b"\x0d\x010" + b"\x0e\x013" + b"\x0f\x02-1" + b"\x10\x011"


def _traceparent() -> Iterator[tuple[str, bytes]]:
    yield "sampled", _CONTEXT
    yield "unsampled", _CONTEXT[:-1] + b"0"
    yield "later", b"01" + _CONTEXT[2:] + b"-more"
    yield "zero", b"00-" + b"0" * 32 + _CONTEXT[35:]


def _settings() -> Iterator[tuple[str, bytes]]:
    for path in sorted(_SETTINGS.glob("*.yaml")):
        yield path.name, path.read_bytes()
    yield "no-name", b"&kafka: {client_id: a}"
    yield "number-as-name", b"1: {client_id: a}\nkafka: {2: 3}"
    yield "variables", b"\0INFERSTREAM__KAFKA__SASL_PASSWORD=hunter2hunter2\0INFERSTREAM__PIPELINES__A__SLO_MS=5"
    yield "mapping", b'kafka: {client_id: a}\0INFERSTREAM__PIPELINES__FRAUD__OPTIONS={"review": 0.3}'


def _offsets() -> Iterator[tuple[str, bytes]]:
    yield "in-order", b"\0\0\0" + b"\1\6\2\1" * 8
    yield "holes", b"\0\0\0" + b"\1\5\4\3\1\2\6\2" * 8
    yield "pin", b"\x07- 3 0 m" + b"\0\0" + b"\1\6"
    yield "no-digits", b"\4\xc2\xb2 x" + b"\0\0" + b"\1\6"
    yield "pinned-no-digits", b"\x083 2 \xc2\xb2 m" + b"\0\0" + b"\1\6"
    yield "note", b"\x05\x30\x30\x30\x30\x30" + b"\0\0" + b"\1\6\2\1"


SEEDS = {
    "envelope": _envelope,
    "headers": _headers,
    "traceparent": _traceparent,
    "settings": _settings,
    "offsets": _offsets,
}
