"""What a pipeline must be allowed at the broker, the least of it: `inferstream acls` prints it, `check` asks for it."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from inferstream.kafka.names import CONTROL, MODEL, REPLAY, transactional_prefix
from inferstream.settings import PipelineSettings, Settings, default_group

_LITERAL: Literal["literal"] = "literal"
Operation = Literal["READ", "WRITE", "DESCRIBE", "DESCRIBE_CONFIGS", "CREATE"]
Resource = Literal["topic", "group", "transactional id"]
TOOLS = ("produce", "tail", "dlq", "replay", "resume", "audit", "models switch", "topics")
"""Commands that want rights of their own."""


class Acl(NamedTuple):
    """One thing that a principal is allowed. `use`: `run`, `run (advised)` where it works with less, or a command."""

    operation: Operation
    resource: Resource
    name: str
    pattern: Literal["literal", "prefixed"]
    pipeline: str
    use: str
    why: str

    @property
    def is_needed(self) -> bool:
        """The service does not start without it."""
        return self.use == "run"

    def __str__(self) -> str:
        return f"{self.operation} on {self.resource} '{self.name}'"


def of_service(settings: Settings) -> list[Acl]:
    """What `inferstream run` does with each pipeline. READ and WRITE bring DESCRIBE with them."""
    return [acl for name, pipeline in settings.pipelines.items() for acl in _of_pipeline(name, pipeline)]


def of_tools(settings: Settings) -> list[Acl]:
    """What the commands beside it do; people and jobs that use them want no more."""
    return [acl for name, pipeline in settings.pipelines.items() for acl in _of_commands(name, pipeline)]


def _of_pipeline(name: str, pipeline: PipelineSettings) -> Iterator[Acl]:
    group = pipeline.group or default_group(name)
    yield Acl("READ", "topic", pipeline.input_topic, _LITERAL, name, "run", "events")
    yield Acl("READ", "group", group, _LITERAL, name, "run", "membership and offsets")
    written = {pipeline.output_topic: "outcomes", pipeline.dead_letter_topic: "dead letters"}
    if pipeline.shadow.model is not None:
        written[pipeline.shadow.topic] = "scores of the shadow model"
    for topic, what in written.items():
        yield Acl("WRITE", "topic", topic, _LITERAL, name, "run", what)
    if pipeline.delivery == "exactly_once":
        prefix = transactional_prefix(pipeline.input_topic, group)
        yield Acl("WRITE", "transactional id", prefix, "prefixed", name, "run", "a producer for each partition")
    advised = "run (advised)"
    for topic in (pipeline.input_topic, *written):
        yield Acl("DESCRIBE_CONFIGS", "topic", topic, _LITERAL, name, advised, "max.message.bytes")
    if pipeline.dead_letter_limit.enabled:
        yield Acl("READ", "group", group + CONTROL, _LITERAL, name, advised, "a quarantine outlives the process")
    yield Acl("DESCRIBE", "group", group + MODEL, _LITERAL, name, advised, "versions pinned by `models switch`")


def _of_commands(name: str, pipeline: PipelineSettings) -> Iterator[Acl]:
    group = pipeline.group or default_group(name)
    source, output, dead = pipeline.input_topic, pipeline.output_topic, pipeline.dead_letter_topic

    made: tuple[tuple[Operation, str], ...] = (("CREATE", "makes those missing"), ("DESCRIBE", "sees those there"))

    def acls(use: str, why: str, operation: Operation, resource: Resource, *names: str) -> Iterator[Acl]:
        return (Acl(operation, resource, each, "literal", name, use, why) for each in names)

    yield from acls("produce", "sends events", "WRITE", "topic", source)
    yield from acls("tail", "reads outcomes", "READ", "topic", output)
    yield from acls("dlq", "reads dead letters, whole", "READ", "topic", dead)
    yield from acls("replay", "reads dead letters, whole", "READ", "topic", dead)
    yield from acls("replay", "sends them again", "WRITE", "topic", source)
    yield from acls("replay", "remembers how far it came", "READ", "group", group + REPLAY)
    yield from acls("resume", "notes lie beside its offsets", "READ", "topic", source)
    yield from acls("resume", "notes of held partitions", "READ", "group", group + CONTROL)
    yield from acls("resume", "how many events wait", "DESCRIBE", "group", group)
    yield from acls("audit", "compares all three", "READ", "topic", source, output, dead)
    yield from acls("audit", "what is committed, what is held", "DESCRIBE", "group", group, group + CONTROL)
    yield from acls("models switch", "notes lie beside its offsets", "READ", "topic", source)
    yield from acls("models switch", "pins a version", "READ", "group", group + MODEL)
    shadow = () if pipeline.shadow.model is None else (pipeline.shadow.topic,)
    for operation, why in made:
        yield from acls("topics", why, operation, "topic", source, output, dead, *shadow)
