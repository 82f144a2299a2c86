"""A shadow score: what another model said of an event beside what the event's outcome says.

Contract: `schemas/shadow_score.v1.json`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from inferstream.events.outcome import Answerer

SCHEMA = "shadow_score.v1"


class ShadowScore(msgspec.Struct, gc=False):
    """Both answers to one event. `id` is its outcome's; the results are the task's own type."""

    id: str
    pipeline: str
    task: str
    answered_by: Answerer
    shadow: Answerer
    result: Any
    shadow_result: Any
    differences: Mapping[str, float]
    """By numeric output of the models: the largest absolute difference between the two."""
    infer_us: int
    shadow_infer_us: int
