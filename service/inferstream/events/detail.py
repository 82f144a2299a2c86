"""What is said of an event that is refused: in words of ours, never with what the event says.

Tasks are users' code and so are the checks of their event types: what those say is bounded, and looked through.
"""

import re

from inferstream.events import cards

_LONGEST = 512  # characters; more is a dump of something
# What a message of the decoder repeats of the data: all from `value` to the place, whatever quotes are in it.
_DATA = re.compile(r"(?<=value ).*(?= - at `[^`]*`$)|(?<=value ).*$|'[^']*'|\"[^\"]*\"", re.DOTALL)


def of_task(error: BaseException) -> str:
    """What a task says of an event that it cannot use."""
    return _bounded(str(error))


def of_decoder(error: Exception) -> str:
    """Why a decoder refuses well-formed bytes, without the value it names."""
    return _bounded(_DATA.sub("…", str(error)))


def _bounded(text: str) -> str:
    said = cards.masked(" ".join(text[: 2 * _LONGEST].split()))  # first, so that no number is cut in two
    return said if len(said) <= _LONGEST else said[:_LONGEST] + "…"
