"""One path topic -> model -> topic: deadlines, batches, and what becomes of what goes wrong."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from inferstream.settings.values import Milliseconds, ModelName, Name, OnMiss, Share, Slo, Topic, Tree

_LEAST_TRANSACTIONAL_SLO_MS = 250
FIRST_ANSWER, NEXT_ANSWER = "first-answer", "next-answer"
"""Classes that the objectives of a stream's answers are told as, beside those of events."""


class BatchingSettings(Tree):
    """How events share a call to the model. The defaults suit; a user sets `slo_ms` and nothing else."""

    max_batch_size: int = Field(
        256,
        ge=1,
        le=65_536,
        description="most rows in one call; less where the model on Triton takes fewer",
    )
    max_queued: int = Field(8_192, ge=1, description="events held in memory; above it no more are taken from Kafka")
    max_streams: int = Field(
        16, ge=1, le=4_096, description="streams under way at once at each endpoint, of a task whose model streams"
    )


class SloClassSettings(Tree):
    """Events of a kind. A number alone is its `slo_ms`."""

    slo_ms: Slo = Field(description="deadline, from the record's timestamp")
    reserved_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="share of every batch that is the class's own while it has events waiting"
    )
    on_miss: OnMiss = Field(
        "fallback",
        description="what becomes of an event the model cannot make in time; what is to be scored late waits in "
        "`max_queued` with all others, so give it a topic of its own if more of it may come than the model can do",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, given: Any) -> Any:
        return given if isinstance(given, (dict, cls)) else {"slo_ms": given}


class DeadLetterLimitSettings(Tree):
    """How much poison a partition may bring before it is held. What the model misses does not count."""

    enabled: bool = Field(True, description="hold a partition that brings too much poison; the others go on")
    ratio: float = Field(
        0.05, ge=0, le=1, description="share of `window` that may be poison among a partition's last `window` events"
    )
    window: int = Field(1_000, ge=1, le=1_000_000, description="events of a partition that are looked back on")
    in_a_row: int = Field(
        100,
        ge=0,
        description="poison events that may follow each other; 0: any number. What was taken already is still "
        "answered, so more dead letters than that may be written",
    )
    probe_after_ms: Milliseconds = Field(
        60_000,
        description="pause until some events of a held partition are let through; doubles with every failure, "
        "64 times at most",
    )
    probe_events: int = Field(
        100, ge=1, description="events a probe lets through; at once at most what one take brings"
    )


class ShadowSettings(Tree):
    """Another model that scores some events as well, beside the path: nobody waits for it."""

    model: ModelName | None = Field(None, description="`name` or `name:version` on the same Triton; default: no shadow")
    share: Share = Field(0.1, description="share of the events, chosen by key")
    topic: Topic = Field("shadow-scores", description="topic its scores go to, beside those of the model")


class CanarySettings(Tree):
    """Another model that answers the events of some keys instead of the model, until it does worse."""

    model: ModelName | None = Field(None, description="`name` or `name:version` on the same Triton; default: no canary")
    share: Share = Field(0.05, description="share of the keys")
    max_excess: Share = Field(
        0.02,
        description="it is stopped when its share of failed, or of late, events exceeds the model's by more than this",
    )
    window: int = Field(1_000, ge=10, le=1_000_000, description="events of each that are looked back on")


class PipelineSettings(Tree):
    """One path topic -> model -> topic, with a consumer and a group of its own."""

    task: str | None = Field(None, description="task by name, or `module:Class`; default: the pipeline's name")
    options: dict[str, Any] = Field({}, description="options of the task (fraud: review, decline)")
    input_topic: Topic = Field("transactions", description="topic the events come from")
    output_topic: Topic = Field("outcomes", description="topic the outcomes go to, same partition number and key")
    dead_letter_topic: Topic = Field("dead-letters", description="topic that keeps poison whole")
    group: Topic | None = Field(None, description="consumer group; default: `inferstream-` and the pipeline's name")
    delivery: Literal["at_least_once", "exactly_once"] = Field(
        "at_least_once",
        description="whether a crash may repeat outcomes, under the same id; `exactly_once` writes in transactions, "
        f"for SLOs from {_LEAST_TRANSACTIONAL_SLO_MS} ms",
    )
    model: str | None = Field(None, description="name of the model on Triton; default: the task's")
    model_version: str = Field("", description="version of the model; empty: the server's choice")
    fallback_model: ModelName | None = Field(
        None,
        description="another model on the same Triton, `name` or `name:version`, that is asked before the student "
        "when the model itself cannot answer",
    )
    student: str | None = Field(
        None,
        description="model that answers in the process when Triton cannot: a shipped one or an .onnx file; "
        "default: the task's, `none`: no student",
    )
    drift_file: Path | None = Field(
        None,
        description="the model's `drift.json`, which its builder writes: what it sees and says is held against it; "
        "default: the shipped model's",
    )
    slo_ms: Slo = Field(50, description="deadline of an event that names none, from its record's timestamp")
    on_miss: OnMiss = Field("fallback", description="what becomes of an event the model cannot make in time")
    slo_classes: dict[Name, SloClassSettings] = Field(
        {}, description="further classes, chosen by header `slo-class`: name to slo_ms, reserved_share, on_miss"
    )
    first_answer_ms: Slo | None = Field(
        None,
        description="of a task whose model streams: objective of a stream's first answer (a token), from the record's "
        f"timestamp; told as class `{FIRST_ANSWER}`",
    )
    next_answer_ms: Slo | None = Field(
        None,
        description="of a task whose model streams: objective of each further answer, from the one before; told as "
        f"class `{NEXT_ANSWER}`",
    )
    emit_reserve_ms: Annotated[float, Field(ge=0, le=60_000)] | None = Field(
        None, description="part of every budget kept for writing the outcome; default: learned from acknowledgements"
    )
    codec: str = Field("msgpack", description="codec of events without a `content-type` header")
    outcome_codec: str = Field("msgpack", description="codec of the outcomes")
    tombstones: Literal["skip", "forward", "dead_letter"] = Field(
        "dead_letter", description="what becomes of a record without a value"
    )
    max_event_bytes: int = Field(65_536, ge=1, le=2**30, description="a larger value is a dead letter, undecoded")
    refuse_card_numbers: bool = Field(
        False,
        description="whether an event that holds what looks like a card number, in its key, a header or a text, is a "
        "dead letter that does not keep it",
    )
    dead_letter_limit: DeadLetterLimitSettings = DeadLetterLimitSettings()
    shadow: ShadowSettings = ShadowSettings()
    canary: CanarySettings = CanarySettings()
    batching: BatchingSettings = BatchingSettings()

    @model_validator(mode="after")
    def _shares_fit(self) -> "PipelineSettings":
        if sum(c.reserved_share for c in self.slo_classes.values()) > 1:
            raise ValueError("the reserved shares of slo_classes add up to more than 1")
        if "default" in self.slo_classes:
            raise ValueError("slo_classes: `default` is the class of slo_ms and on_miss; give another name")
        if taken := sorted(self.answer_objectives.keys() & self.slo_classes.keys()):
            raise ValueError(f"slo_classes: `{taken[0]}` is what an objective of answers is told as; give another name")
        return self

    @model_validator(mode="after")
    def _topics_are_apart(self) -> "PipelineSettings":
        topics = {
            "input_topic": self.input_topic,
            "output_topic": self.output_topic,
            "dead_letter_topic": self.dead_letter_topic,
        }
        if self.shadow.model is not None:
            topics["shadow.topic"] = self.shadow.topic
        roles: dict[str, str] = {}
        for role, topic in topics.items():
            if topic in roles:
                raise ValueError(f"{role} is the same as {roles[topic]}, '{topic}'; give each a topic of its own")
            roles[topic] = role
        return self

    @model_validator(mode="after")
    def _transactions_fit(self) -> "PipelineSettings":
        tight = [
            f"{name} ({c.slo_ms:g} ms)" for name, c in self.classes.items() if c.slo_ms < _LEAST_TRANSACTIONAL_SLO_MS
        ]
        if self.delivery == "exactly_once" and tight:
            raise ValueError(
                f"delivery exactly_once needs an slo_ms of at least {_LEAST_TRANSACTIONAL_SLO_MS} in every class "
                f"(a transaction takes 40 ms, one in a hundred 180 ms); too tight: {', '.join(tight)}"
            )
        return self

    @model_validator(mode="after")
    def _something_is_left_of_the_budget(self) -> "PipelineSettings":
        kept = self.emit_reserve_ms or 0
        hopeless = [
            f"{name} ({c.slo_ms:g} ms)"
            for name, c in self.classes.items()
            if c.slo_ms <= kept and c.on_miss != "score_late"
        ]
        if hopeless:
            raise ValueError(
                f"emit_reserve_ms {kept:g} is the whole time of {', '.join(hopeless)}, so the model would never be "
                "asked; give less, or leave it out to have it learned"
            )
        return self

    @property
    def answer_objectives(self) -> dict[str, int]:
        """Milliseconds that answers of a stream should take, by the class they are told as."""
        asked = {FIRST_ANSWER: self.first_answer_ms, NEXT_ANSWER: self.next_answer_ms}
        return {name: ms for name, ms in asked.items() if ms is not None}

    @property
    def classes(self) -> dict[str, SloClassSettings]:
        """All classes by name, the default one first."""
        return {"default": SloClassSettings(slo_ms=self.slo_ms, on_miss=self.on_miss), **self.slo_classes}
