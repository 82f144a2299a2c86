"""Card numbers as issuers give them, as people write them, and whether something repeats one."""

import random
import re
from itertools import pairwise

NUMBER = "4111 1111 1111 1111"  # of no account: networks publish it for tests
_ROW = re.compile(r"\d(?:[ .\-]?\d){12,}")
_LENGTHS = {"34": (15, 15), "37": (15, 15), "5018": (13, 19), "62": (16, 19)}


def card(rng: random.Random) -> str:
    """A number of one of the networks, its check digit included."""
    prefix = rng.choice(["4", "51", "55", "2221", "34", "37", "6011", "3528", "62", "5018"])
    length = rng.randint(*_LENGTHS.get(prefix, (16, 16)))
    body = prefix + "".join(rng.choice("0123456789") for _ in range(length - len(prefix) - 1))
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return body + str(-total % 10)


def written(number: str, rng: random.Random) -> str:
    """With the separators people use."""
    separator = rng.choice(["", " ", "-", "."])
    return separator.join(number[i : i + 4] for i in range(0, len(number), 4))


class Numbers:
    """Numbers that are made up, and found again."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._made: set[str] = set()

    def new(self) -> str:
        """Another one, as people write them."""
        number = card(self._rng)
        self._made.add(number)
        return written(number, self._rng)

    def leaked(self, text: str) -> set[str]:
        """Which of them are in it, with or without separators."""
        found: set[str] = set()
        for row in _ROW.findall(text):
            digits = "".join(character for character in row if character.isdigit())
            parts = (digits[at : at + size] for size in range(13, 20) for at in range(len(digits) - size + 1))
            found.update(part for part in parts if part in self._made)
        return found


def repeats(said: object, number: str) -> bool:
    """Whether any two groups in a row of `number`, as it is written, are in `said`: a single one may be a time's."""
    separators = ("", " ", "-", ".")
    return any(one + separator + two in str(said) for one, two in pairwise(number.split()) for separator in separators)
