"""The task: tensors, decision and rules of card fraud."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from inferstream.tasks.fraud.decide import FraudResult, decide, rule_probability
from inferstream.tasks.fraud.event import SCHEMA, Transaction
from inferstream.tasks.fraud.features import FEATURES, features
from inferstream.tasks.task import Task, Tensors, TensorSpec


@dataclass(frozen=True)
class FraudTask(Task):
    """Scores transactions. `review` and `decline` are the probabilities from which one is not approved."""

    review: float = 0.2
    decline: float = 0.6

    event_type: ClassVar[type] = Transaction
    schema: ClassVar[str] = SCHEMA
    event_id: ClassVar[str] = "transaction_id"
    model: ClassVar[str] = "fraud"
    student: ClassVar[str] = "fraud_student"
    inputs: ClassVar[tuple[TensorSpec, ...]] = (TensorSpec("features", "FP32", (len(FEATURES),)),)
    outputs: ClassVar[tuple[TensorSpec, ...]] = (TensorSpec("probability", "FP32", (1,)),)

    def __post_init__(self) -> None:
        if not 0 <= self.review <= self.decline <= 1:
            raise ValueError(f"0 <= review <= decline <= 1 is wanted, got review {self.review}, decline {self.decline}")

    def tensors(self, events: Sequence[Transaction]) -> Tensors:
        return {"features": features(events)}

    def decide(self, events: Sequence[Transaction], tensors: Tensors, outputs: Tensors) -> list[FraudResult]:
        return decide(outputs["probability"][:, 0], tensors["features"], self.review, self.decline)

    def rules(self, events: Sequence[Transaction], tensors: Tensors) -> list[FraudResult]:
        return decide(rule_probability(tensors["features"]), tensors["features"], self.review, self.decline)
