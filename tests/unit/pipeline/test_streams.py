"""A pipeline whose model streams, on a fake broker: tokens as they come, one outcome, and what goes wrong between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.unit.pipeline.world import GROUP, Clock, World, encode, running

from inferstream.errors import ModelError, SettingsError
from inferstream.events.outcome import Cause
from inferstream.pipeline.outcomes import Route
from inferstream.pipeline.streams import refuse_settings
from inferstream.pipeline.topology import Pipeline, Ports, Timing
from inferstream.settings import PipelineSettings
from inferstream.tasks.generation import GenerationTask
from inferstream.testing import FakeSource, FakeStreamingModel


class Texts(World):
    """A world whose pipeline streams."""

    def __init__(self, partitions: int = 1, **settings: Any) -> None:
        super().__init__(GenerationTask(), partitions, **settings)
        self.streaming = FakeStreamingModel(stops=False)

    def member(self) -> Pipeline:
        route = Route("p", "generation", GROUP, "in", "out", "dead", 1)
        source = FakeSource(self.broker, "in", GROUP)
        ports = Ports(source, self.sink, (), None, Clock(), self.signals, streaming_models=[self.streaming])
        return Pipeline(route, self.task, self.settings, Timing(0.01, 1.0, 0.05), ports)

    def ask(self, name: str, max_tokens: int = 20, *headers: tuple[str, bytes], partition: int = 0) -> None:
        prompt = {"prompt_id": name, "text": "The class", "timestamp_ms": 0, "max_tokens": max_tokens}
        self.write(encode(prompt), partition, *headers)

    def finals(self) -> list[dict[str, Any]]:
        return [outcome for outcome in self.outcomes() if "part" not in outcome]

    def parts(self, name: str) -> list[dict[str, Any]]:
        return [outcome for outcome in self.outcomes() if "part" in outcome and outcome["event_id"] == name]

    async def final(self, count: int = 1) -> dict[str, Any]:
        """The last of so many outcomes."""
        await self.until(lambda: len(self.finals()) >= count)
        return self.finals()[-1]


def failing(at: dict[tuple[int, int], Cause]) -> Callable[[int, int], None]:
    """Failures by call and answer."""

    def fails(call: int, place: int) -> None:
        if (call, place) in at:
            raise ModelError(at[call, place], "as told")

    return fails


@pytest.fixture
async def texts() -> AsyncIterator[Texts]:
    world = Texts()
    async with running(world.member()):
        yield world


async def test_tokens_come_before_the_outcome_and_the_outcome_holds_them_all(texts: Texts) -> None:
    texts.streaming.each = 0.01
    texts.ask("a")
    final = await texts.final()
    result, parts = final["result"], texts.parts("a")
    assert final["outcome"] == "scored"
    assert final["deadline_met"]
    assert final["answered_by"] == {"kind": "model", "name": "fake", "version": "1"}
    assert result["text"] == texts.streaming.text(texts.streaming.calls[0])
    assert (result["tokens"], result["finish_reason"]) == (20, "length")
    assert len(parts) >= 2
    assert [part["part"] for part in parts] == list(range(len(parts)))
    sizes = [part["result"]["tokens"] for part in parts]
    assert [part["begin"] for part in parts] == [sum(sizes[:n]) for n in range(len(parts))]
    assert result["text"].startswith("".join(part["result"]["text"] for part in parts))
    assert {part["id"] for part in parts} == {final["id"]}
    assert texts.outcomes()[-1] == final
    assert result["first_token_ms"] >= 10
    assert 5 <= result["per_token_ms"] < 1_000


async def test_headers_tell_partial_outcomes_from_outcomes(texts: Texts) -> None:
    texts.streaming.each = 0.005
    texts.ask("a", 20, ("traceparent", b"t"))
    await texts.final()
    *parts, final = texts.broker.records("out")
    for number, part in enumerate(parts):
        headers = dict(part.headers)
        assert headers["outcome-part"] == str(number).encode()
        assert headers["schema"] == b"partial_outcome.v1"
        assert "outcome" not in headers
        assert headers["outcome-id"] == dict(final.headers)["outcome-id"]
        assert headers["traceparent"] == b"t"
        assert part.key == final.key
    assert "outcome-part" not in dict(final.headers)


async def test_what_the_deadline_cuts_is_the_result_in_time_and_the_stream_is_cancelled() -> None:
    texts = Texts(slo_ms=1_200, emit_reserve_ms=400)  # the machine may be busy
    texts.streaming.each = 0.02
    async with running(texts.member()):
        texts.ask("a", 1_000)
        final = await texts.final()
    result = final["result"]
    assert final["outcome"] == "scored"
    assert final["deadline_met"]
    assert result["finish_reason"] == "deadline"
    assert texts.streaming.text(texts.streaming.calls[0]).startswith(result["text"])
    assert 1 <= result["tokens"] <= 40
    assert (texts.streaming.cancelled, texts.streaming.open) == (1, 0)


async def test_no_token_by_the_deadline_takes_the_chain_and_expires() -> None:
    texts = Texts(slo_ms=200)
    texts.streaming.each = 5.0
    async with running(texts.member()):
        texts.ask("a")
        final = await texts.final()
    assert (final["outcome"], final["cause"]) == ("expired", "no_fallback")
    assert texts.parts("a") == []


async def test_a_miss_may_be_a_dead_letter_instead() -> None:
    texts = Texts(slo_ms=200, on_miss="dead_letter")
    texts.streaming.each = 5.0
    async with running(texts.member()):
        texts.ask("a")
        final = await texts.final()
    assert (final["outcome"], final["cause"]) == ("dead_lettered", "model_timeout")


async def test_a_server_that_dies_mid_stream_is_asked_once_more_and_nothing_is_said_twice(texts: Texts) -> None:
    texts.streaming.each = 0.005
    texts.streaming.fails = failing({(0, 3): Cause.MODEL_UNAVAILABLE})
    texts.ask("a", 12)
    final = await texts.final()
    first, second = texts.streaming.calls
    assert first["seed"] == second["seed"]
    whole, parts = texts.streaming.text(second), texts.parts("a")
    assert final["outcome"] == "scored"
    assert final["result"]["text"] == whole
    assert [part["part"] for part in parts] == list(range(len(parts)))
    assert whole.startswith("".join(part["result"]["text"] for part in parts))


async def test_all_streams_of_a_server_that_dies_are_tried_again() -> None:
    texts = Texts(batching={"max_streams": 8})
    texts.streaming.fails = failing({(call, 3): Cause.MODEL_UNAVAILABLE for call in range(8)})
    async with running(texts.member()):
        for number in range(8):
            texts.ask(str(number), 12)
        await texts.final(8)
    assert {final["outcome"] for final in texts.finals()} == {"scored"}
    assert len(texts.streaming.calls) == 16


async def test_a_second_death_is_answered_by_the_chain(texts: Texts) -> None:
    texts.streaming.fails = failing({(0, 3): Cause.MODEL_UNAVAILABLE, (1, 3): Cause.MODEL_UNAVAILABLE})
    texts.ask("a")
    final = await texts.final()
    assert (final["outcome"], final["cause"]) == ("expired", "no_fallback")
    assert len(texts.streaming.calls) == 2


async def test_what_came_of_a_stream_is_kept_when_its_server_does_not_come_back() -> None:
    texts = Texts(slo_ms=600)
    texts.streaming.each = 0.01
    async with running(texts.member()):
        texts.ask("a", 1_000)
        await texts.until(lambda: len(texts.parts("a")) > 1)
        texts.streaming.is_up = False
        final = await texts.final()
    assert (final["outcome"], final["result"]["finish_reason"]) == ("scored", "deadline")
    assert final["result"]["tokens"] > 1


async def test_a_refused_prompt_is_a_dead_letter(texts: Texts) -> None:
    texts.streaming.fails = failing({(1, 0): Cause.MODEL_REJECTED})
    texts.ask("good")
    await texts.final()
    texts.ask("bad")
    final = await texts.final(2)
    assert (final["outcome"], final["cause"]) == ("dead_lettered", "model_rejected")
    assert len(texts.broker.records("dead")) == 1


async def test_what_began_before_a_refusal_says_nothing_for_the_model() -> None:
    """A long text goes on while every new prompt is refused: its tokens are of the time before."""
    texts = Texts(partitions=2)
    texts.streaming.each = 0.01
    texts.streaming.fails = failing({(call, 0): Cause.MODEL_REJECTED for call in range(1, 5)})
    async with running(texts.member()):
        texts.ask("long", 100, partition=1)
        await texts.until(lambda: len(texts.parts("long")) > 1)
        for number in range(4):
            texts.ask(f"new{number}")
            await texts.final(number + 1)
    outcomes = [final["outcome"] for final in texts.finals() if final["event_id"] != "long"]
    assert outcomes == ["dead_lettered", "expired", "expired", "expired"]


async def test_a_model_that_refuses_all_prompts_is_at_fault_itself(texts: Texts) -> None:
    texts.streaming.fails = failing({(call, 0): Cause.MODEL_REJECTED for call in range(5)})
    for name in "abcde":
        texts.ask(name)
    await texts.final(5)
    assert {(final["outcome"], final["cause"]) for final in texts.finals()} == {("expired", "no_fallback")}
    assert texts.broker.records("dead") == []
    texts.ask("f")
    assert (await texts.final(6))["outcome"] == "scored"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"prompt_id": "a", "timestamp_ms": 0, "text": ""}, "length >= 1 - at `$.text`"),
        ({"prompt_id": "a", "timestamp_ms": 0, "text": "x" * 513}, "length <= 512 - at `$.text`"),
        ({"prompt_id": "a", "timestamp_ms": 0, "text": "x", "max_tokens": 0}, ">= 1 - at `$.max_tokens`"),
        ({"prompt_id": "a", "timestamp_ms": 0, "text": "x", "max_tokens": 5_000}, "<= 1024 - at `$.max_tokens`"),
        ({"prompt_id": "a", "timestamp_ms": 0, "text": "x", "temperature": 9.0}, "<= 2.0 - at `$.temperature`"),
        (b"\x81\xa4text\xa2\xff\xfe", "UnicodeDecodeError"),
    ],
    ids=["empty", "too long", "no tokens", "too many tokens", "too hot", "no UTF-8"],
)
async def test_bad_input_is_a_dead_letter_that_says_what_is_wrong(texts: Texts, value: Any, said: str) -> None:
    texts.write(value if isinstance(value, bytes) else encode(value))
    final = await texts.final()
    assert final["outcome"] == "dead_lettered"
    assert said in final["detail"]
    assert texts.streaming.calls == []


async def test_streams_run_side_by_side_up_to_the_limit() -> None:
    texts = Texts(batching={"max_streams": 3})
    texts.streaming.each = 0.005
    async with running(texts.member()):
        for number in range(9):
            texts.ask(str(number), 5)
        await texts.final(9)
    assert texts.streaming.most_open == 3
    assert sorted(final["event_id"] for final in texts.finals()) == [str(number) for number in range(9)]


async def test_a_redelivery_says_the_same() -> None:
    texts = Texts()
    async with running(texts.member()):
        texts.ask("a", 50)
        first = await texts.final()
    texts.broker.committed[GROUP].clear()
    async with running(texts.member()):
        again = await texts.final(2)
    assert again["id"] == first["id"]
    assert again["result"]["text"] == first["result"]["text"]


async def test_prompts_that_are_alike_get_texts_of_their_own(texts: Texts) -> None:
    texts.ask("a", 50)
    texts.ask("b", 50)
    await texts.final(2)
    one, other = (final["result"]["text"] for final in texts.finals())
    assert one != other


async def test_a_slow_broker_gets_few_large_parts_and_every_text_whole() -> None:
    """One part is on its way at a time; what comes meanwhile is in the next."""
    texts = Texts()
    texts.streaming.each = 0.002
    async with running(texts.member()):
        texts.broker.set_acknowledges(False)
        texts.ask("a", 400)
        await texts.until(lambda: texts.signals.next_answer.total(pipeline="p") > 50)
        texts.broker.set_acknowledges(True)
        final = await texts.final()
    first, second, *_ = texts.parts("a")
    assert first["result"]["tokens"] < 10
    assert second["result"]["tokens"] > 40
    assert final["result"]["tokens"] == 400
    assert final["result"]["text"].startswith(first["result"]["text"] + second["result"]["text"])


async def test_offsets_pass_with_the_outcome_and_not_with_its_parts(texts: Texts) -> None:
    texts.streaming.each = 0.02
    texts.ask("a", 1_000)
    await texts.until(lambda: len(texts.parts("a")) >= 2)
    await asyncio.sleep(0.05)
    assert texts.finals() == []
    assert texts.committed() == 0
    texts.streaming.each = 0.0
    await texts.final()
    await texts.until(lambda: texts.committed() == 1)


async def test_time_to_the_first_token_and_between_tokens_is_measured(texts: Texts) -> None:
    texts.streaming.each = 0.01
    texts.ask("a")
    tokens = (await texts.final())["result"]["tokens"]
    assert texts.signals.first_answer.total(pipeline="p") == 1
    assert texts.signals.next_answer.total(pipeline="p") == tokens - 1
    await texts.until(lambda: texts.signals.partials.total(pipeline="p") == len(texts.parts("a")))
    assert texts.signals.in_flight.total(pipeline="p") == 0


async def test_answers_may_have_objectives_of_their_own_which_are_told_as_classes() -> None:
    """The first is late by its age alone; the others come as they come."""
    texts = Texts(first_answer_ms=400, next_answer_ms=4_000)
    async with running(texts.member()):
        texts.ask("a", 20)
        texts.write(encode({"prompt_id": "b", "text": "The", "timestamp_ms": 0, "max_tokens": 20}), age_ms=900)
        await texts.final(2)
    valid, good = texts.signals.slo_valid, texts.signals.slo_good
    assert valid.total(pipeline="p", slo_class="first-answer") == 2
    assert good.total(pipeline="p", slo_class="first-answer", indicator="scored") == 1
    assert valid.total(pipeline="p", slo_class="next-answer") == 38
    assert good.total(pipeline="p", slo_class="next-answer", indicator="scored") == 38
    assert valid.total(pipeline="p", slo_class="default") == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"delivery": "exactly_once", "slo_ms": 1_000}, "delivery: exactly_once does not go with"),
        ({"fallback_model": "other"}, "p.fallback_model: a task whose model streams has no such model"),
        ({"student": "fraud_student"}, "p.student: a task"),
        ({"canary": {"model": "other"}}, "p.canary.model: a task"),
        ({"shadow": {"model": "other"}}, "p.shadow.model: a task"),
        ({"slo_classes": {"vip": {"slo_ms": 9, "reserved_share": 0.5}}}, "reserved_share is of batches"),
    ],
)
def test_settings_that_do_not_go_with_streams_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        refuse_settings("p", PipelineSettings(**settings))
    refuse_settings("p", PipelineSettings(student="none"))
