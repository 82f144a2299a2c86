"""Card numbers in text: 13 to 19 digits whose check digit is right, with or without separators. Pure.

Of a longer row of digits in groups ("order 12 4111 1111 1111 1111") every part that begins and ends with a group is
looked at. What is masked is all that may be one, one in ten of other such numbers too. To refuse an event takes more:
the first digits and the length of a network's numbers, written without separators or as cards are printed.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

MASK = "[card]"

FEWEST, _MOST = 13, 19
"""Digits that a card number has."""
_LONGEST_ROW = 96  # characters of groups that are looked at part by part; a longer one counts as found
_ROW = re.compile(r"(?<!\d)\d(?:[ .\-]?\d){12,}+")
_GROUP = re.compile(r"\d+")
# Visa, Mastercard, Amex, Diners, JCB, Maestro, Discover, UnionPay, Mir, RuPay, Troy, by first digits and length.
_NETWORK = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|2[2-7]\d{14}|220[0-4]\d{12,15}|5[1-5]\d{14}|3[47]\d{13}|3[0689]\d{12,17}|35\d{14,17}"
    r"|(?:50|5[6-9]|6\d)\d{11,17}|8[12]\d{14}|9792\d{12}"
)

_MOST_CHECKS = 256


class _Part(NamedTuple):
    """A part of a row that has as many digits as a card number, and where in its text it lies."""

    begin: int
    end: int
    digits: str
    is_printed_so: bool
    """In groups as on a card, or in one."""


def masked(text: str) -> str:
    """The text with a mask in place of each card number."""
    return _ROW.sub(_mask, text)


class Search:
    """A look at the texts of one event, of bounded work: what is not looked at any more counts as found."""

    def __init__(self) -> None:
        self._checks_left = _MOST_CHECKS

    def finds(self, text: str) -> bool:
        """Whether the text holds what is somebody's card number, most likely."""
        for row in _ROW.finditer(text):
            for part in _parts(row[0]):
                self._checks_left -= 1
                if self._checks_left < 0 or (part.is_printed_so and _is_of_a_network(part.digits)):
                    return True
        return False


def _mask(row: re.Match[str]) -> str:
    text, at, said = row[0], 0, ""
    longest = {part.begin: part.end for part in _parts(text) if _is_right(part.digits)}  # the last of each is
    for begin, end in longest.items():
        if begin >= at:
            said += text[at:begin] + MASK
            at = end
    return said + text[at:]


def _parts(row: str) -> Iterator[_Part]:
    if len(row) > _LONGEST_ROW:
        if not row.isdigit():
            yield _Part(0, len(row), "", True)
        return
    groups = [found.span() for found in _GROUP.finditer(row)]
    for first, (begin, _) in enumerate(groups):
        digits, sizes = "", []
        for start, end in groups[first:]:
            digits += row[start:end]
            sizes.append(end - start)
            if len(digits) > _MOST:
                break
            if len(digits) >= FEWEST:
                yield _Part(begin, end, digits, _is_printed_so(sizes))


def _is_printed_so(sizes: list[int]) -> bool:
    return len(sizes) == 1 or sizes[:2] == [4, 6] or (set(sizes[:-1]) == {4} and sizes[-1] <= 4)


def _is_of_a_network(digits: str) -> bool:
    return not digits or (_NETWORK.fullmatch(digits) is not None and _is_right(digits))


def _is_right(digits: str) -> bool:
    """The check digit of ISO/IEC 7812 (Luhn); a row of one and the same digit is none. Nothing: too long to tell."""
    backwards = [int(digit) for digit in reversed(digits)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in backwards[1::2])
    return not digits or (len(set(backwards)) > 1 and (sum(backwards[::2]) + sum(doubled)) % 10 == 0)
