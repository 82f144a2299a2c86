"""Everything a user can set. Constructing settings has no side effects."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from inferstream.settings.connections import KafkaSettings, TritonSettings
from inferstream.settings.pipeline import PipelineSettings
from inferstream.settings.values import COLLECTOR, Milliseconds, Name, Objective, Share, Tree


class WebSettings(Tree):
    """The one port for `/livez`, `/readyz`, `/metrics` and the live page."""

    host: str = Field("0.0.0.0", description="address to listen on")  # noqa: S104 - probes come from outside the pod
    port: int = Field(8080, ge=0, le=65_535, description="port; 0: a free one, printed at start")
    page: bool = Field(True, description="show the live page at `/` to whoever reaches the port")
    page_details: bool = Field(
        False, description="name Triton's endpoints and models there and in `/metrics` instead of numbering them"
    )


class DemoSettings(Tree):
    """What `inferstream demo` sends with an example's settings; the service itself never looks here."""

    rate: float = Field(100, ge=0.1, le=100_000, description="events a second, of `inferstream demo` only")
    seconds: int = Field(20, ge=1, le=3_600, description="how long they are sent, of `inferstream demo` only")


class SloSettings(Tree):
    """What is promised of 30 days; `inferstream slo` makes alerts of it. The service itself never looks here."""

    objective: Objective = Field(
        0.999, description="share of the events of a class answered in time, by the model or the fallback; pages"
    )
    scored_objective: Objective = Field(
        0.99, description="share of the events of a class scored in time by the model; opens tickets"
    )


class OtlpSettings(Tree):
    """Metrics and traces sent by OTLP over gRPC. Headers: the variable OTEL_EXPORTER_OTLP_HEADERS."""

    endpoint: Annotated[str, StringConstraints(pattern=COLLECTOR)] | None = Field(
        None, description="http://host:port of a collector, https:// with TLS; default: nothing is sent"
    )
    interval_ms: Annotated[int, Field(ge=100, le=3_600_000)] = Field(10_000, description="how often")
    timeout_ms: Annotated[int, Field(ge=10, le=60_000)] = Field(5_000, description="how long one sending may take")


class TraceSettings(Tree):
    """Which events leave a trace, sent to `otlp.endpoint`: what is sampled upstream or goes wrong, and a share."""

    enabled: bool = Field(True, description="trace at all; without `otlp.endpoint` nothing is")
    ratio: Share = Field(0.0, description="share of all other events that leave a trace too")
    per_second: float = Field(50, gt=0, le=10_000, description="most traces a second of each process; more are counted")


class TelemetrySettings(Tree):
    """What is told beside logs and `/metrics`."""

    otlp: OtlpSettings = OtlpSettings()
    traces: TraceSettings = TraceSettings()


class LogSettings(Tree):
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
    telemetry: TelemetrySettings = TelemetrySettings()
    slo: SloSettings = SloSettings()
    demo: DemoSettings = DemoSettings()
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
