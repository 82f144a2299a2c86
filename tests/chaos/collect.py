"""The history of a run, read from its topics and logs once everything is quiet."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

import msgspec
from confluent_kafka import Message
from tests.chaos.errors import ChaosError
from tests.chaos.history import Place, Sent, Written
from tests.chaos.observer import read_whole
from tests.chaos.producer import ACK, PATIENT, UNPLACED, event_id
from tests.chaos.rescoring import Rescorer

from inferstream.events import dead_letter, headers

_CHUNK = 4_096


class _Answerer(msgspec.Struct, gc=False):
    kind: str


class _Result(msgspec.Struct, gc=False):
    probability: float


class _Outcome(msgspec.Struct, gc=False):
    """The part of an outcome that is checked."""

    id: str
    outcome: str
    event_id: str | None = None
    answered_by: _Answerer | None = None
    result: _Result | None = None


class Acks(NamedTuple):
    """What the producer was told: the number of the event at each place, and those it was not told the place of."""

    numbers: Mapping[Place, int]
    unplaced: AbstractSet[int]

    def __len__(self) -> int:
        return len(self.numbers) + len(self.unplaced)


def read_acks(log: Path) -> Acks:
    """The producer's log."""
    acks = list(ACK.iter_unpack(log.read_bytes()))
    return Acks(
        {(partition, offset): number for partition, offset, number in acks if offset != UNPLACED},
        {number for _, offset, number in acks if offset == UNPLACED},
    )


def read_sent(brokers: str, topic: str, acks: Acks, slo_ms: Mapping[str, int]) -> tuple[list[Sent], set[Place]]:
    """The acknowledged events, and the places of those the producer never heard of.

    Raises ChaosError if an acknowledged event is not where the producer was told: that is Kafka's loss, not ours.
    """
    rescorer, sent, unacknowledged = Rescorer(), list[Sent](), set[Place]()
    waiting: list[Message] = []

    def take() -> None:
        for message, scores in zip(waiting, rescorer.scores([m.value() for m in waiting]), strict=True):
            sent.append(_sent(message, slo_ms, scores))
        waiting.clear()

    for message in read_whole(brokers, topic, "read_uncommitted"):
        if _is_acknowledged(message, acks):
            waiting.append(message)
        else:
            unacknowledged.add((message.partition(), message.offset()))
        if len(waiting) >= _CHUNK:
            take()
    take()
    if len({event.event_id for event in sent}) != len(acks):
        raise ChaosError(f"of {len(acks)} acknowledged events Kafka holds {len(sent)}: the cluster is at fault")
    return sent, unacknowledged


def _is_acknowledged(message: Message, acks: Acks) -> bool:
    number, name = acks.numbers.get((message.partition(), message.offset())), _event_id(message)
    if number is None:
        return int(name.rpartition("-")[2]) in acks.unplaced
    if name.encode() != event_id(number):
        place = message.partition(), message.offset()
        raise ChaosError(f"the event at {place} is not the one acknowledged there: the cluster is at fault")
    return True


def _event_id(message: Message) -> str:
    return headers.text(message.headers() or [], headers.CE_ID)


def _sent(message: Message, slo_ms: Mapping[str, int], scores: Mapping[str, float] | None) -> Sent:
    slo_class = PATIENT if headers.text(message.headers() or [], headers.SLO_CLASS) == PATIENT else "default"
    deadline_ms = message.timestamp()[1] + slo_ms[slo_class]
    return Sent(message.partition(), message.offset(), _event_id(message), slo_class, deadline_ms, scores)


def read_written(brokers: str, topic: str, isolation: str) -> list[Written]:
    """The output topic, partition by partition in the order of the log."""
    decoder = msgspec.msgpack.Decoder(_Outcome)
    written = [_written(message, decoder) for message in read_whole(brokers, topic, isolation)]
    return sorted(written, key=lambda each: (each.partition, each.offset))


def _written(message: Message, decoder: "msgspec.msgpack.Decoder[_Outcome]") -> Written:
    outcome = decoder.decode(message.value() or b"")
    return Written(
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        outcome.id,
        outcome.outcome,
        outcome.event_id,
        outcome.answered_by.kind if outcome.answered_by else None,
        outcome.result.probability if outcome.result else None,
    )


def read_letters(brokers: str, topic: str) -> set[str]:
    """Outcome ids of the dead letters."""
    return {
        headers.text(message.headers() or [], dead_letter.OUTCOME_ID)
        for message in read_whole(brokers, topic, "read_committed")
    }
