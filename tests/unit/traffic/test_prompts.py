"""Prompts of the demo: seeded, and within what the task takes."""

import itertools

import msgspec

from inferstream.tasks.generation import Prompt
from inferstream.traffic.prompts import stream


def first(seed: int, count: int = 200) -> list[Prompt]:
    return [prompt for prompt, _ in itertools.islice(stream(seed), count)]


def test_the_same_seed_gives_the_same_prompts_and_another_others() -> None:
    assert first(1) == first(1)
    assert [p.text for p in first(1)] != [p.text for p in first(2)]


def test_every_prompt_is_one_the_service_takes_and_has_an_id_of_its_own() -> None:
    prompts = first(3)
    for prompt in prompts:
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(prompt), type=Prompt) == prompt
    assert len({prompt.prompt_id for prompt in prompts}) == len(prompts)
    assert len({prompt.text for prompt in prompts}) > 50


def test_some_prompts_say_how_long_and_some_leave_it_to_the_pipeline() -> None:
    lengths = [prompt.max_tokens for prompt in first(4)]
    assert 50 < lengths.count(None) < 150
    assert all(length is None or 40 <= length < 200 for length in lengths)
