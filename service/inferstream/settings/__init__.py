"""The one typed tree of settings. Each part of the service gets its own subtree only."""

from inferstream.settings.connections import KafkaSettings, TritonSettings
from inferstream.settings.listing import ENV_PREFIX, Row, table
from inferstream.settings.pipeline import (
    FIRST_ANSWER,
    NEXT_ANSWER,
    BatchingSettings,
    CanarySettings,
    DeadLetterLimitSettings,
    PipelineSettings,
    ShadowSettings,
    SloClassSettings,
)
from inferstream.settings.reading import load
from inferstream.settings.service import (
    DemoSettings,
    LogSettings,
    OtlpSettings,
    Settings,
    SloSettings,
    TelemetrySettings,
    TraceSettings,
    WebSettings,
    default_group,
)
from inferstream.settings.values import OnMiss

__all__ = [
    "ENV_PREFIX",
    "FIRST_ANSWER",
    "NEXT_ANSWER",
    "BatchingSettings",
    "CanarySettings",
    "DeadLetterLimitSettings",
    "DemoSettings",
    "KafkaSettings",
    "LogSettings",
    "OnMiss",
    "OtlpSettings",
    "PipelineSettings",
    "Row",
    "Settings",
    "ShadowSettings",
    "SloClassSettings",
    "SloSettings",
    "TelemetrySettings",
    "TraceSettings",
    "TritonSettings",
    "WebSettings",
    "default_group",
    "load",
    "table",
]
