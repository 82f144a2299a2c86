"""The text of the generation models: the topics of Python's own help, which come with it, under the PSF licence."""

import hashlib
import sys

import numpy as np

from inferstream.models.family import Array, Dataset, Split, Tell

STEPS = 128
"""Characters of a row."""
_BLOCK = 4_096  # characters that stay together
_TEST_EVERY = 10  # blocks
_PLAIN = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "."})


def corpus() -> str:
    """All topics, in ASCII."""
    from pydoc_data.topics import topics

    text = "\n\n".join(topics[name].strip() for name in sorted(topics)).translate(_PLAIN)
    return text.encode("ascii", "ignore").decode()


def alphabet(text: str) -> str:
    """Its characters in their order: a character's place is its number."""
    return "".join(sorted(set(text)))


def split(tell: Tell) -> Split:
    """Every tenth block of characters is for the test, and nobody learns from it."""
    text = corpus()
    tell(f"{len(text):,} characters of Python's help")
    numbers = {character: number for number, character in enumerate(alphabet(text))}
    ids = np.array([numbers[character] for character in text], np.int64)
    blocks = [ids[at : at + _BLOCK] for at in range(0, len(ids), _BLOCK)]
    learned = _windows([block for place, block in enumerate(blocks) if place % _TEST_EVERY != _TEST_EVERY - 1])
    tested = _windows(blocks[_TEST_EVERY - 1 :: _TEST_EVERY])
    described = {
        "text": "pydoc_data.topics of CPython, PSF licence",
        "python": sys.version.split()[0],
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "characters": len(text),
        "alphabet": len(numbers),
    }
    return Split(learned, tested, tested, described)


def _windows(blocks: list[Array]) -> Dataset:
    """Rows of characters, and the character after each."""
    rows = [block[at : at + STEPS + 1] for block in blocks for at in range(0, len(block) - STEPS, STEPS)]
    together = np.stack(rows)
    return Dataset(together[:, :-1], together[:, 1:], {})
