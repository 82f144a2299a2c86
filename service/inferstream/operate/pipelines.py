"""Which pipeline a command means."""

from typing import NamedTuple

from inferstream.errors import SettingsError
from inferstream.settings import PipelineSettings, Settings, default_group


class Chosen(NamedTuple):
    """A pipeline with its name and consumer group."""

    name: str
    settings: PipelineSettings
    group: str

    @property
    def task(self) -> str:
        """Name of its task."""
        return self.settings.task or self.name


def choose(settings: Settings, name: str | None) -> Chosen:
    """The pipeline of that name, or the only one. Raises SettingsError."""
    known = ", ".join(sorted(settings.pipelines))
    if name is None:
        if len(settings.pipelines) > 1:
            raise SettingsError(f"there are several pipelines; say which with --pipeline: {known}")
        name = next(iter(settings.pipelines))
    if name not in settings.pipelines:
        raise SettingsError(f"there is no pipeline '{name}'; there are: {known}")
    pipeline = settings.pipelines[name]
    return Chosen(name, pipeline, pipeline.group or default_group(name))


def patient(settings: Settings, timeout: float) -> Settings:
    """The same, with `timeout` seconds for a broker to answer: a command says soon that there is none."""
    milliseconds = max(1, int(timeout * 1000))
    kafka = settings.kafka.model_copy(
        update={
            "start_timeout_ms": milliseconds,
            "request_timeout_ms": min(milliseconds, settings.kafka.request_timeout_ms),
        }
    )
    return settings.model_copy(update={"kafka": kafka})
