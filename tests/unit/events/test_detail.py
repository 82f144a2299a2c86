"""What is said of a refused event is short, in one line and holds nothing of the event."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cards import card, written

from inferstream.events import detail
from inferstream.tasks import Unusable
from inferstream.tasks.fraud import Transaction


@given(st.text(min_size=3).filter(lambda text: text.strip("xyz $.`-…") != ""))
def test_a_value_that_the_decoder_names_is_not_repeated(secret: str) -> None:
    secret = f"xyz{secret}xyz"
    document = msgspec.json.encode({"channel": secret})
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(document, type=Transaction)
    assert secret not in detail.of_decoder(refused.value)


def test_a_card_number_in_what_a_task_says_is_masked_even_where_it_is_cut() -> None:
    rng = random.Random(5)
    for before in range(440, 520):
        number = written(card(rng), rng)
        said = detail.of_task(Unusable("a" * before + " " + number + " more"))
        assert len(said) <= 513
        digits = "".join(character for character in said if character.isdigit())
        assert digits == "", (before, number)


def test_it_is_one_line() -> None:
    assert detail.of_task(ValueError("a\nb\r\n\tc")) == "a b c"
