"""The family of generation: networks that go on with a text, character by character."""

from inferstream.models.family import Family, Stepwise
from inferstream.models.generation.accuracy import accuracy
from inferstream.models.generation.recipe import GENERATION
from inferstream.models.generation.results import results
from inferstream.models.generation.step import export, outputs, timings
from inferstream.models.generation.text import split
from inferstream.tasks.generation import GenerationTask

__all__ = ["FAMILY"]

_ABOUT = """A small recurrent network over characters, taught on the help texts that come with Python (PSF licence). It
is here to show how text is streamed, not to say anything: its words are mostly words, its sentences are not about
much. A token is a character. All texts under way take their step together, so a token of many costs less each."""

FAMILY = Family(
    recipe=GENERATION,
    task=GenerationTask,
    simulated=split,
    accuracy=accuracy,
    figures={
        "bits_per_character": "bits per character, unseen text",
        "next_right": "likeliest character right",
        "bytes": "bytes",
    },
    about=_ABOUT,
    max_batch_size=64,
    stepwise=Stepwise(export, outputs, timings, results),
)
