"""Prompts, seeded: beginnings of sentences as a manual of a programming language has them."""

from collections.abc import Iterator

import numpy as np

from inferstream.tasks.generation import Prompt

_OPENINGS = (
    "The {} statement ",
    "The {} of the ",
    "A {} is ",
    "If the {} ",
    "When a {} is ",
    "An object of this {} ",
    "Note that the {} ",
    "This {} returns ",
    "For example, the {} ",
    "By default, a {} ",
)
_SUBJECTS = (
    *("class", "function", "method", "module", "expression", "exception", "string", "list", "dictionary", "type"),
    *("value", "name", "argument", "object", "generator", "sequence", "number", "instance", "attribute", "set"),
)
_DEFAULT_SHARE = 0.5  # of the prompts leave the length to the pipeline
_LENGTHS = (40, 200)


def stream(seed: int) -> Iterator[tuple[Prompt, None]]:
    """Prompts without end, and nothing beside them: no text is the right one. Their `timestamp_ms` is 0."""
    rng = np.random.default_rng(seed)
    number = 0
    while True:
        opening = _OPENINGS[int(rng.integers(len(_OPENINGS)))]
        prompt = Prompt(f"p{seed}-{number}", opening.format(_SUBJECTS[int(rng.integers(len(_SUBJECTS)))]), 0)
        if rng.random() >= _DEFAULT_SHARE:
            prompt.max_tokens = int(rng.integers(*_LENGTHS))
        yield prompt, None
        number += 1
