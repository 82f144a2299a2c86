"""What goes over the socket between worker and parent."""

import asyncio

import msgspec
import pytest

from inferstream.errors import SettingsError
from inferstream.signals import Signals
from inferstream.workers.channel import Failure, Report, Seat, encode, parse_seat, receive


async def test_what_is_said_is_what_is_heard_in_order() -> None:
    signals = Signals()
    signals.records.cell("fraud").add(2**40)
    signals.stage.cell("fraud", "emit").observe(0.5)
    signals.model_ready.cell("fraud", "m", "host").set(True)
    said: list[Report | Failure] = [Report(None, "starting", signals.snapshot()), Failure("no such topic")]
    reader = asyncio.StreamReader()
    reader.feed_data(b"".join(encode(one) for one in said))
    reader.feed_eof()
    assert [await receive(reader), await receive(reader)] == said
    with pytest.raises(asyncio.IncompleteReadError):
        await receive(reader)


async def test_another_version_is_noticed() -> None:
    reader = asyncio.StreamReader()
    body = msgspec.msgpack.encode({"type": "report", "not_live": None})
    reader.feed_data(len(body).to_bytes(4, "big") + body)
    with pytest.raises(msgspec.DecodeError):
        await receive(reader)


def test_a_seat_survives_the_command_line() -> None:
    _, value = Seat(3, 17).arguments()
    assert parse_seat(value) == Seat(3, 17)


@pytest.mark.parametrize("typed", ["", "2", "a:b", "-1:3", "1:"])
def test_a_seat_that_a_user_typed_says_so(typed: str) -> None:
    with pytest.raises(SettingsError, match="leave it out"):
        parse_seat(typed)
