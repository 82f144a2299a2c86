"""The event: a card transaction. Contract: `schemas/transaction.v1.json`. Unknown fields are tolerated."""

from itertools import product
from string import ascii_uppercase
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

SCHEMA = "transaction.v1"

Channel = Literal["chip", "contactless", "magstripe", "ecommerce", "moto", "recurring", "atm"]
CHANNELS: tuple[Channel, ...] = ("chip", "contactless", "magstripe", "ecommerce", "moto", "recurring", "atm")

Identifier = Annotated[str, Meta(min_length=1, max_length=64)]
# Upper-case letters, as `__post_init__` checks: a pattern would cost as much as all the rest of decoding.
Country = Annotated[
    str,
    Meta(
        min_length=2, max_length=2, description="ISO 3166-1 alpha-2 code", extra_json_schema={"pattern": "^[A-Z]{2}$"}
    ),
]
# Every code of upper-case letters: to find one here costs a third of looking at its letters.
_CODES = frozenset("".join(letters) for length in (2, 3) for letters in product(ascii_uppercase, repeat=length))
_Count = Annotated[float, Meta(ge=0, le=1e6)]
_Amount = Annotated[float, Meta(ge=0, le=1e9)]
_Share = Annotated[float, Meta(ge=0, le=1)]


class Aggregates(msgspec.Struct, gc=False, omit_defaults=True):
    """What an upstream feature store knows of the card and the terminal; each may be missing.

    Windows end with the transaction; a terminal's frauds are known only after seven days, so its windows end there.
    """

    card_count_1d: Annotated[_Count, Meta(description="transactions of the card in the last day")] | None = None
    card_count_7d: Annotated[_Count, Meta(description="transactions of the card in the last 7 days")] | None = None
    card_count_30d: Annotated[_Count, Meta(description="transactions of the card in the last 30 days")] | None = None
    card_mean_amount_1d: Annotated[_Amount, Meta(description="mean amount of the card's last day, in euros")] | None = (
        None
    )
    card_mean_amount_7d: (
        Annotated[_Amount, Meta(description="mean amount of the card's last 7 days, in euros")] | None
    ) = None
    card_mean_amount_30d: (
        Annotated[_Amount, Meta(description="mean amount of the card's last 30 days, in euros")] | None
    ) = None
    terminal_count_1d: (
        Annotated[_Count, Meta(description="transactions at the terminal in one day, a week ago")] | None
    ) = None
    terminal_count_7d: (
        Annotated[_Count, Meta(description="transactions at the terminal in 7 days, a week ago")] | None
    ) = None
    terminal_count_30d: (
        Annotated[_Count, Meta(description="transactions at the terminal in 30 days, a week ago")] | None
    ) = None
    terminal_fraud_share_1d: Annotated[_Share, Meta(description="share of frauds among those of one day")] | None = None
    terminal_fraud_share_7d: Annotated[_Share, Meta(description="share of frauds among those of 7 days")] | None = None
    terminal_fraud_share_30d: Annotated[_Share, Meta(description="share of frauds among those of 30 days")] | None = (
        None
    )


class Transaction(msgspec.Struct, gc=False, omit_defaults=True):
    """A card transaction as it is authorised."""

    transaction_id: Annotated[Identifier, Meta(description="identifies the transaction to its producer")]
    card_id: Annotated[Identifier, Meta(description="token of the card; never the card number")]
    terminal_id: Annotated[Identifier, Meta(description="terminal, or virtual terminal of a shop")]
    merchant_id: Annotated[Identifier, Meta(description="merchant")]
    merchant_category: Annotated[int, Meta(ge=0, le=9999, description="ISO 18245 merchant category code")]
    amount: Annotated[float, Meta(gt=0, le=1e9, description="in major units of `currency`")]
    currency: Annotated[
        str,
        Meta(min_length=3, max_length=3, description="ISO 4217 code", extra_json_schema={"pattern": "^[A-Z]{3}$"}),
    ]
    timestamp_ms: Annotated[
        int, Meta(ge=0, le=4_102_444_800_000, description="when it happened, milliseconds since 1970 UTC")
    ]
    channel: Annotated[Channel, Meta(description="how the card was used")]
    country: Annotated[Country, Meta(description="where the terminal is")]
    card_country: Annotated[Country, Meta(description="where the card was issued")] | None = None
    customer_id: Annotated[Identifier, Meta(description="token of the card's owner")] | None = None
    aggregates: Aggregates | None = None

    def __post_init__(self) -> None:
        issuer = self.card_country
        if not (self.currency in _CODES and self.country in _CODES and (issuer is None or issuer in _CODES)):
            raise ValueError("currency, country and card_country are codes of upper-case letters")


__all__ = ["CHANNELS", "SCHEMA", "Aggregates", "Channel", "Transaction"]
