"""The event: the beginning of a text. Contract: `schemas/prompt.v1.json`. Unknown fields are tolerated."""

from typing import Annotated

import msgspec
from msgspec import Meta

SCHEMA = "prompt.v1"

MOST_TOKENS = 1_024

Identifier = Annotated[str, Meta(min_length=1, max_length=64)]


class Prompt(msgspec.Struct, gc=False, omit_defaults=True):
    """The beginning of a text, which the model goes on with."""

    prompt_id: Annotated[Identifier, Meta(description="identifies the prompt to its producer")]
    text: Annotated[str, Meta(min_length=1, max_length=512, description="beginning of the text")]
    timestamp_ms: Annotated[
        int, Meta(ge=0, le=4_102_444_800_000, description="when it was asked, milliseconds since 1970 UTC")
    ]
    max_tokens: (
        Annotated[
            int, Meta(ge=1, le=MOST_TOKENS, description="tokens at most; without it what the pipeline's options say")
        ]
        | None
    ) = None
    temperature: (
        Annotated[
            float,
            Meta(
                ge=0,
                le=2,
                description="how freely is chosen: 0 takes the likeliest token, 1 as the model learned; without it "
                "what the pipeline's options say",
            ),
        ]
        | None
    ) = None


__all__ = ["MOST_TOKENS", "SCHEMA", "Prompt"]
