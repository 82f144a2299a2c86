"""What is fuzzed: for each target a function of any bytes that raises if something that is promised does not hold."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import gettempdir
from types import SimpleNamespace

import msgspec
from tests.fuzz.boundary import BOUNDARIES, NOW_MS, Boundary, record
from tests.fuzz.choices import Choices

from inferstream.errors import SettingsError
from inferstream.events import dead_letter, headers, trace_context
from inferstream.kafka.control import Committed
from inferstream.operate.foreign import schemaless, shown_headers
from inferstream.operate.progress import Progress
from inferstream.pipeline.infer import REJECTED
from inferstream.policy import quarantine
from inferstream.policy.offsets import OffsetTracker
from inferstream.policy.pin import pin_note, read_pin
from inferstream.settings import load
from inferstream.testing import MeanTask

_DAY_MS = 86_400_000
_CONTENT_TYPES = ((), ((headers.CONTENT_TYPE, b"application/json"),))


def envelope(data: bytes) -> None:
    """Any bytes as an event of any task, in any codec. The first byte chooses."""
    choice, value = data[:1] or b"\0", data[1:]
    path = BOUNDARIES[choice[0] % len(BOUNDARIES)]
    content_type = _CONTENT_TYPES[choice[0] // len(BOUNDARIES) % 2]
    event = path.event(record(value, content_type))
    if event.verdict is None:
        path.features(event)
        if event.verdict is None:
            event.verdict = REJECTED  # so that it is written with its payload's id
    path.write(event)
    json.dumps(schemaless(value, "application/json" if content_type else ""), default=repr)


_NAMES = (
    *(headers.DEADLINE_UNIX_MS, headers.SLO_MS, headers.SLO_CLASS, headers.CONTENT_TYPE, headers.SCHEMA),
    *(headers.CE_ID, headers.OUTCOME, headers.OUTCOME_ID, trace_context.TRACEPARENT, trace_context.TRACESTATE),
    *(trace_context.CE_TRACEPARENT, dead_letter.OUTCOME_ID, dead_letter.TOPIC, dead_letter.PARTITION),
    *(dead_letter.OFFSET, dead_letter.TIMESTAMP, dead_letter.REPLAYS, dead_letter.BODY_OMITTED, "own", ""),
)
_GOOD = msgspec.msgpack.encode({"id": "a", "values": [1.0, 2.0, 3.0]})
_OF_HEADERS = [Boundary(MeanTask()), Boundary(MeanTask(), refuses_cards=True)]


def headers_of_records(data: bytes) -> None:
    """Any headers on a good event, at any timestamp."""
    choices = Choices(data)
    path = _OF_HEADERS[choices.number(1) % 2]
    timestamp = choices.number(8) if choices.number(1) % 4 == 0 else NOW_MS - choices.number(2)
    count = choices.number(1) * 8 if choices.number(1) == 0 else choices.number(1) % 12
    given = [_header(choices) for _ in range(count)]
    event = path.event(record(_GOOD, given, timestamp - 2**63 if timestamp >= 2**63 else timestamp))
    assert event.deadline_unix_ms <= max(NOW_MS, timestamp) + 2 * _DAY_MS
    assert event.slo_class in ("default", "late", "gold")
    if len(given) > headers.MOST:
        assert event.verdict is not None
        assert not event.record.headers
    if event.verdict is None:
        event.verdict = REJECTED
    path.write(event)
    shown_headers(given, show_data=True)
    try:
        again = dead_letter.replay_headers(given, 50)
    except ValueError:
        assert not dead_letter.has_source(given)
    else:
        assert dead_letter.replays(again) == dead_letter.replays(given) + 1


def _header(choices: Choices) -> tuple[str, bytes | None]:
    kind = choices.number(1)
    name = _NAMES[kind % len(_NAMES)] or choices.bytes(choices.number(1)).decode("utf-8", "replace")
    return name, None if kind >= 250 else choices.bytes(choices.number(1) if kind < 240 else choices.number(2))


def traceparent(data: bytes) -> None:
    """Any bytes as a trace context: exactly one or none, and the look that saves reading it never hides one."""
    found = trace_context.parse(data)
    for name in (trace_context.TRACEPARENT, trace_context.CE_TRACEPARENT):
        given = [("own", b"x"), (name, data), (trace_context.TRACESTATE, data)]
        assert trace_context.read(given) == found
        is_worth_it = trace_context.may_be_kept(given, 0)
        assert is_worth_it or found is None or not found.is_sampled
    if found is None:
        return
    assert found.trace_id
    assert found.span_id
    assert trace_context.parse(found.header()) == found
    child = found.child()
    assert child.trace_id == found.trace_id
    assert child.span_id
    replaced = trace_context.replaced(given, child)
    assert [value for name, value in replaced if name == trace_context.TRACEPARENT] == [child.header()]
    assert trace_context.read(replaced) == child
    below = found.trace_id & (2**56 - 1)
    assert trace_context.may_be_kept(given, below + 1)


_FILE = Path(gettempdir()) / f"inferstream-fuzz-{os.getpid()}.yaml"


def settings(data: bytes) -> None:
    """Any bytes as a settings file and as variables: settings, or lines that say what is wrong."""
    text, *variables = data.split(b"\0")
    environ = dict(_variables(variables))
    _FILE.write_bytes(text)
    refused = ""
    try:
        found = load(_FILE, environ)
    except SettingsError as error:
        refused = str(error) or "nothing"
    finally:
        _FILE.unlink(missing_ok=True)
    if refused:
        assert all(line.strip() for line in refused.split("\n"))
        assert refused != "nothing"
        return
    password = found.kafka.sasl_password
    if password is not None and len(password.get_secret_value()) > 12:
        assert password.get_secret_value() not in repr(found.kafka.sasl_password) + found.model_dump_json()


def _variables(lines: list[bytes]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _, value = line.decode("utf-8", "replace").partition("=")
        yield name.upper(), value


def offsets(data: bytes) -> None:
    """Any order of taking and settling against a list; any note that a group may hold."""
    choices = Choices(data)
    _notes(choices.bytes(choices.number(1)))
    tracker, taken, done = OffsetTracker(most_done=4), [], set[int]()
    end = choices.number(2)
    for _ in range(64):
        if not choices.left:
            break
        what, number = choices.number(1), choices.number(1)
        if what % 2:
            new = list(range(end + number % 3, end + number % 3 + number % 7))
            tracker.track(new)
            taken += new
            end = new[-1] + 1 if new else end
        elif taken:
            settled = [taken[(number * step) % len(taken)] for step in range(what % 5)]
            settled = [o for o in dict.fromkeys(settled) if o not in done]
            tracker.resolve(settled)
            done.update(settled)
        _agrees(tracker, taken, done)


def _agrees(tracker: OffsetTracker, taken: list[int], done: set[int]) -> None:
    is_open = next((place for place, offset in enumerate(taken) if offset not in done), len(taken))
    assert tracker.committable == (taken[is_open - 1] + 1 if is_open else None)
    assert tracker.unsettled == len(taken) - len(done)
    assert tracker.is_drained == (is_open == len(taken))
    assert tracker.committable_with(set(taken)) == (taken[-1] + 1 if taken else None)


def _notes(raw: bytes) -> None:
    text = raw.decode("utf-8", "replace")
    for note in (text, "pin " + text, "held " + text, "v1 " + text):
        pin = read_pin(note)
        assert pin is None or read_pin(pin_note(pin)) is not None
        assert set(quarantine.read_notes({0: note})) <= {0}
        committed = Committed(5, note)
        progress = Progress({0: committed}, {0: 0})
        place = SimpleNamespace(partition=0, offset=9)
        progress.add(place)
        assert place in progress


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "envelope": envelope,
    "headers": headers_of_records,
    "traceparent": traceparent,
    "settings": settings,
    "offsets": offsets,
}
