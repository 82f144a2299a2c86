"""The one typed tree of settings, read once: defaults, then a YAML file, then `INFERSTREAM__…` variables.

Unknown keys are refused with the nearest right name. Each part of the service gets its own subtree only.
Constructing settings has no side effects.
"""

import difflib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)
from yaml import YAMLError

from inferstream.errors import SettingsError

ENV_PREFIX = "INFERSTREAM__"
_DELIMITER = "__"
_NEAR_PREFIX = "INFERSTREAM_"
_NO_SETTINGS = {"INFERSTREAM_SETTINGS", "INFERSTREAM_REQUIRE", "INFERSTREAM_SHORT"}  # of the command line and the tests
_SERVICE_LINK = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_|$)")
_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://")

_TOPIC = r"^[a-zA-Z0-9._-]{1,249}$"
_NAME = r"^[a-z][a-z0-9_-]{0,62}$"
_MODEL = r"^[^:\s]+(:[0-9]+)?$"
_IN_WORDS = {
    _TOPIC: "write 1 to 249 letters, digits, dots, hyphens and underscores",
    _NAME: "write a small letter, then at most 62 small letters, digits, hyphens and underscores",
    _MODEL: "write `name` or `name:version`; a version is a number",
}
_ADDRESS = re.compile(r"(?:\[[0-9a-fA-F:.%]+\]|[^\s:/@\[\]]+)(?::([0-9]{1,5}))?")


def _addresses(given: str, default_port: int | None = None) -> str:
    """What is given, without blanks and empty places. Raises ValueError unless each is an address with a port."""
    parts = [part.strip() for part in given.split(",") if part.strip()]
    found = [_ADDRESS.fullmatch(part) for part in parts]
    if not parts or not all(each and 1 <= int(each[1] or default_port or 0) <= 65_535 for each in found):
        port = f"; without a port it is {default_port}" if default_port else ""
        raise ValueError(f"write host:port[,host:port], ports from 1 to 65535{port}")
    return ",".join(parts)


def _brokers(given: str) -> str:
    return _addresses(given, 9092)


Brokers = Annotated[str, AfterValidator(_brokers)]
Endpoints = Annotated[str, AfterValidator(_addresses)]
Topic = Annotated[str, StringConstraints(pattern=_TOPIC)]
Name = Annotated[str, StringConstraints(pattern=_NAME)]
Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]
Slo = Annotated[float, Field(gt=0, le=86_400_000)]
OnMiss = Literal["fallback", "score_late", "expire", "dead_letter"]

_LEAST_TRANSACTIONAL_SLO_MS = 250


class _Tree(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(_Tree):
    """How to reach the brokers."""

    bootstrap_servers: Brokers = Field(
        "localhost:9092", description="host:port of one or more brokers, comma separated"
    )
    client_id: str = Field("inferstream", description="name shown in the brokers' logs and quotas")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="transport"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism, with a SASL_ transport"
    )
    sasl_username: str | None = Field(None, description="SASL user")
    sasl_password: SecretStr | None = Field(None, description="SASL password; never printed")
    ssl_ca_file: Path | None = Field(
        None, description="PEM file of the authority that signed the brokers' certificates"
    )
    ssl_certificate_file: Path | None = Field(None, description="PEM file of our certificate, for mutual TLS")
    ssl_key_file: Path | None = Field(None, description="PEM file of our private key, for mutual TLS")
    start_timeout_ms: Milliseconds = Field(
        60_000, description="how long to wait for a broker at start before giving up"
    )
    request_timeout_ms: Milliseconds = Field(10_000, description="how long one request to a broker may take")
    session_timeout_ms: Milliseconds = Field(
        20_000, description="silence after which the group gives our partitions away"
    )
    rebalance_timeout_ms: Milliseconds = Field(
        30_000, description="how long a rebalance waits for us; half of it is ours for draining"
    )
    auto_offset_reset: Literal["earliest", "latest"] = Field(
        "earliest", description="where a group without committed offsets begins"
    )
    isolation_level: Literal["read_uncommitted", "read_committed"] = Field(
        "read_committed", description="whether events of open or aborted transactions are read"
    )
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        "none", description="compression of what we produce"
    )
    commit_interval_ms: Milliseconds = Field(500, description="how often offsets are committed")
    transaction_timeout_ms: Milliseconds = Field(
        10_000, description="how long one transaction may take, with `delivery: exactly_once`"
    )
    metadata_max_age_ms: Milliseconds = Field(30_000, description="how soon partitions added to a topic are noticed")
    group_instance_id: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,249}$")] | None = Field(
        None,
        description="name of this process in its groups, its own (a StatefulSet's pod name): within the session "
        "timeout a restart then moves no partitions; default: none",
    )


class TritonSettings(_Tree):
    """How to reach the model server: NVIDIA Triton, or any that speaks the open inference protocol v2 over gRPC."""

    url: Endpoints = Field("localhost:8001", description="host:port of one or more gRPC endpoints, comma separated")
    tls: bool = Field(False, description="use TLS")
    ca_file: Path | None = Field(None, description="PEM file of the authority that signed the server's certificate")
    certificate_file: Path | None = Field(None, description="PEM file of our certificate, for mutual TLS")
    key_file: Path | None = Field(None, description="PEM file of our private key, for mutual TLS")
    start_timeout_ms: Milliseconds = Field(
        30_000,
        description="how long readiness waits for the model at start; events are answered by the fallback meanwhile",
    )
    require_model_at_start: bool = Field(False, description="end with an error if the model is not ready by then")
    ready_poll_ms: Milliseconds = Field(500, description="how often the model's readiness is asked")
    max_message_bytes: int = Field(64 * 2**20, ge=2**16, le=2**31 - 1, description="largest request or response")

    @property
    def urls(self) -> list[str]:
        """Each endpoint."""
        return self.url.split(",")


class BatchingSettings(_Tree):
    """How events share a call to the model. The defaults suit; a user sets `slo_ms` and nothing else."""

    max_batch_size: int = Field(
        256, ge=1, le=65_536, description="most rows in one call; at most the model's own limit"
    )
    max_queued: int = Field(8_192, ge=1, description="events held in memory; above it no more are taken from Kafka")


class SloClassSettings(_Tree):
    """Events of a kind. A number alone is its `slo_ms`."""

    slo_ms: Slo = Field(description="deadline, from the record's timestamp")
    reserved_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="share of every batch that is the class's own while it has events waiting"
    )
    on_miss: OnMiss = Field("fallback", description="what becomes of an event the model cannot make in time")

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, given: Any) -> Any:
        return given if isinstance(given, (dict, cls)) else {"slo_ms": given}


class DeadLetterLimitSettings(_Tree):
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


class PipelineSettings(_Tree):
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
    fallback_model: Annotated[str, StringConstraints(pattern=_MODEL)] | None = Field(
        None,
        description="another model on the same Triton, `name` or `name:version`, that is asked before the student "
        "when the model itself cannot answer",
    )
    student: str | None = Field(
        None,
        description="model that answers in the process when Triton cannot: a shipped one or an .onnx file; "
        "default: the task's, `none`: no student",
    )
    slo_ms: Slo = Field(50, description="deadline of an event that names none, from its record's timestamp")
    on_miss: OnMiss = Field("fallback", description="what becomes of an event the model cannot make in time")
    slo_classes: dict[Name, SloClassSettings] = Field(
        {}, description="further classes, chosen by header `slo-class`: name to slo_ms, reserved_share, on_miss"
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
    dead_letter_limit: DeadLetterLimitSettings = DeadLetterLimitSettings()
    batching: BatchingSettings = BatchingSettings()

    @model_validator(mode="after")
    def _shares_fit(self) -> "PipelineSettings":
        if sum(c.reserved_share for c in self.slo_classes.values()) > 1:
            raise ValueError("the reserved shares of slo_classes add up to more than 1")
        if "default" in self.slo_classes:
            raise ValueError("slo_classes: `default` is the class of slo_ms and on_miss; give another name")
        return self

    @model_validator(mode="after")
    def _topics_are_apart(self) -> "PipelineSettings":
        topics = {
            "input_topic": self.input_topic,
            "output_topic": self.output_topic,
            "dead_letter_topic": self.dead_letter_topic,
        }
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

    @property
    def classes(self) -> dict[str, SloClassSettings]:
        """All classes by name, the default one first."""
        return {"default": SloClassSettings(slo_ms=self.slo_ms, on_miss=self.on_miss), **self.slo_classes}


class WebSettings(_Tree):
    """The one port for `/livez`, `/readyz` and `/metrics`."""

    host: str = Field("0.0.0.0", description="address to listen on")  # noqa: S104 - probes come from outside the pod
    port: int = Field(8080, ge=0, le=65_535, description="port; 0: a free one, printed at start")


class LogSettings(_Tree):
    """Logs go to standard error."""

    format: Literal["auto", "json", "console"] = Field("auto", description="auto: console on a terminal, else JSON")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="lowest level shown")


class Settings(BaseSettings):
    """Everything a user can set."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    kafka: KafkaSettings = KafkaSettings()
    triton: TritonSettings = TritonSettings()
    pipelines: dict[Name, PipelineSettings] = Field({"fraud": PipelineSettings()}, min_length=1)
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()
    drain_timeout_ms: Milliseconds = Field(
        10_000, description="how long the end may take after SIGTERM; half of it is for events under way"
    )
    workers: int = Field(1, ge=1, le=256, description="processes that share the partitions behind one health port")

    @model_validator(mode="after")
    def _groups_are_apart(self) -> "Settings":
        groups: dict[str, str] = {}
        for name, pipeline in self.pipelines.items():
            group = pipeline.group or default_group(name)
            if group in groups:
                raise ValueError(
                    f"pipelines '{groups[group]}' and '{name}' share the group '{group}'; give each its own"
                )
            groups[group] = name
        return self

    @model_validator(mode="after")
    def _exactly_once_reads_what_is_committed(self) -> "Settings":
        for name, pipeline in self.pipelines.items():
            if pipeline.delivery == "exactly_once" and self.kafka.isolation_level != "read_committed":
                raise ValueError(
                    f"delivery exactly_once of pipeline '{name}' needs kafka.isolation_level read_committed: "
                    "events of aborted transactions would be answered"
                )
        return self

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def default_group(pipeline: str) -> str:
    """The consumer group of a pipeline that names none."""
    return f"inferstream-{pipeline}"


_MAPPINGS: Mapping[tuple[str, ...], type[BaseModel]] = {
    ("pipelines",): PipelineSettings,
    ("pipelines", "<name>", "slo_classes"): SloClassSettings,
}
"""Settings that hold others under names of the user's."""


def load(file: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from a YAML file and the environment. Raises SettingsError, one line per mistake."""
    tree: dict[str, Any] = {}
    if file is not None:
        if file.is_dir():
            raise SettingsError(f"settings file {file} is a directory; name a YAML file in it")
        if not file.is_file():
            raise SettingsError(f"settings file {file} does not exist; `inferstream settings` shows what it may hold")
        try:
            tree = YamlConfigSettingsSource(Settings, yaml_file=file)()
        except (YAMLError, UnicodeDecodeError, ValueError, TypeError) as error:
            raise SettingsError(f"settings file {file} is not a YAML mapping: {' '.join(str(error).split())}") from None
    try:
        return Settings(**_merged(tree, _from_environment(os.environ if environ is None else environ)))
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(e) for e in error.errors(include_url=False))) from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """`INFERSTREAM__A__B=x` as {"a": {"b": "x"}}: every variable, so that a misspelt one is refused, not ignored."""
    tree: dict[str, Any] = {}
    _refuse_near_misses(environ)
    for variable in sorted(v for v in environ if v.upper().startswith(ENV_PREFIX)):
        *parents, leaf = variable[len(ENV_PREFIX) :].lower().split(_DELIMITER)
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise SettingsError(f"{variable} contradicts another variable that sets the whole of '{parent}'")
        node[leaf] = _value(environ[variable])
    return tree


def _refuse_near_misses(environ: Mapping[str, str]) -> None:
    """One underscore where two belong would otherwise be ignored. Kubernetes' own variables of a service are left."""
    known = {re.sub("_+", "_", row.env): row.env for row in table()}
    for variable in sorted(environ):
        if not variable.startswith(_NEAR_PREFIX) or variable.startswith(ENV_PREFIX) or variable in _NO_SETTINGS:
            continue
        if _SERVICE_LINK.search(variable) or _LINK_VALUE.match(environ[variable]):
            continue
        near = difflib.get_close_matches(variable, known, n=1)
        hint = f"did you mean {known[near[0]]}?" if near else "`inferstream settings` lists all"
        raise SettingsError(f"{variable} is no setting: they begin with {ENV_PREFIX}, two underscores; {hint}")


def _value(text: str) -> Any:
    """Mappings and lists are written as JSON; anything else is left for the field's own type."""
    if text[:1] in "{[" and text:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _merged(under: dict[str, Any], over: dict[str, Any], parents: tuple[str, ...] = ()) -> dict[str, Any]:
    """`over` laid upon `under`, mapping by mapping. Raises SettingsError where `under` has no mapping to lay it on."""
    result = dict(under)
    for key, value in over.items():
        below, path = result.get(key), (*parents, key)
        if isinstance(below, dict) and isinstance(value, dict):
            result[key] = _merged(below, value, path)
        elif isinstance(value, dict) and below is not None:
            raise SettingsError(
                f"{'.'.join(path)}: the settings file must have a mapping here, since a variable sets part of it"
            )
        else:
            result[key] = value
    return result


def _explain(error: Any) -> str:
    """One line: where, what is wrong, the nearest right name. Never the value: it may be secret."""
    where = ".".join(str(part) for part in error["loc"]) or "settings"
    if error["type"] != "extra_forbidden":
        return f"{where}: {_said(error)}"
    known = [row.path for row in table()]
    pattern = _generic(error["loc"])
    parents = pattern.split(".")[:-1]
    siblings = sorted({k.split(".")[len(parents)] for k in known if k.split(".")[: len(parents)] == parents})
    beside = difflib.get_close_matches(pattern.rpartition(".")[2], siblings, n=1)
    near = [".".join([*parents, *beside])] if beside else difflib.get_close_matches(pattern, known, n=1, cutoff=0.7)
    hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(siblings)}"
    return f"{where}: unknown setting; {hint}"


def _said(error: Any) -> str:
    kind, pattern = error["type"], error.get("ctx", {}).get("pattern")
    if kind == "string_pattern_mismatch" and pattern in _IN_WORDS:
        return _IN_WORDS[pattern]
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "must be a mapping of settings, `name: value`"
    if kind == "too_short" and error["loc"] == ("pipelines",):
        return "name at least one, `pipelines: {fraud: {slo_ms: 50}}`, or leave `pipelines` out"
    return str(error["msg"]).removeprefix("Value error, ")


def _generic(location: tuple[Any, ...]) -> str:
    parts = [str(part) for part in location]
    for number in range(1, len(parts)):
        if tuple(parts[:number]) in _MAPPINGS:
            parts[number] = "<name>"
    return ".".join(parts)


class Row(NamedTuple):
    """One line of the table of settings."""

    path: str
    env: str
    default: str
    description: str


def table() -> list[Row]:
    """Every setting with its default and the name of its environment variable."""
    return list(_rows(Settings, ()))


def _rows(model: type[BaseModel], parents: tuple[str, ...]) -> Iterator[Row]:
    for name, field in model.model_fields.items():
        path = (*parents, name)
        child = _MAPPINGS.get(path, field.annotation)
        if isinstance(child, type) and issubclass(child, BaseModel):
            yield from _rows(child, (*path, "<name>") if path in _MAPPINGS else path)
        else:
            yield Row(".".join(path), _env_name(path), _default(field), field.description or "")


def _env_name(path: tuple[str, ...]) -> str:
    return ENV_PREFIX + _DELIMITER.join(part if part.startswith("<") else part.upper() for part in path)


def _default(field: FieldInfo) -> str:
    return "" if field.default is None or field.is_required() else json.dumps(field.default, default=str)
