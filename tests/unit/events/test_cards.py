"""Card numbers are found however people write them, and hardly anything else is taken for one."""

import random
import time

import pytest

from inferstream.events.cards import MASK, Search, masked

VISA, AMEX, MASTERCARD = "4111111111111111", "378282246310005", "5555555555554444"


@pytest.mark.parametrize(
    "text",
    [
        VISA,
        AMEX,
        MASTERCARD,
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "3782 822463 10005",
        "order 12 4111 1111 1111 1111",
        "paid with 5555.5555.5555.4444, thanks",
        f"{VISA}{'x' * 50_000}",
    ],
)
def test_a_card_number_is_found_and_masked(text: str) -> None:
    assert Search().finds(text)
    assert MASK in masked(text)
    assert not Search().finds(masked(text))


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # its check digit is wrong
        "1732579200000",  # milliseconds
        "1732579200000000000",  # nanoseconds
        "2026-11-25 21:00:00.000000",
        "t-20260301-000017",
        "9f86d081-884c-4d65-9a2f-eaa0c55ad015",
        "4" * 16,
        "4" * 30,
        "10.0.0.1:9092",
        "",
    ],
)
def test_what_is_none_is_not_refused(text: str) -> None:
    assert not Search().finds(text)


def test_few_of_other_long_numbers_are_taken_for_one() -> None:
    """Sixteen random digits have the right first digits and check digit in one of some thirty."""
    rng = random.Random(3)
    found = sum(Search().finds("".join(rng.choices("0123456789", k=16))) for _ in range(20_000))
    assert found / 20_000 < 0.05


def test_both_numbers_of_a_text_go_and_the_rest_stays() -> None:
    assert masked(f"from {VISA} to 5555 5555 5555 4444, 3 items") == f"from {MASK} to {MASK}, 3 items"


@pytest.mark.parametrize(
    "text", ["2 2 3 4 5 6 7 8 9 1 2 3 3 4 5 6 7 8 9 9 7 6 x" * 1_400, "4-" * 32_000, "4111111111111112," * 3_800]
)
def test_a_text_that_is_made_to_take_long_counts_as_one(text: str) -> None:
    began = time.thread_time()
    assert Search().finds(text)
    assert time.thread_time() - began < 0.5  # it takes a hundredth of that; every part would take minutes
