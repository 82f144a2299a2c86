"""Every setting with its path, the name of its variable, its default and what it is for."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from inferstream.settings.pipeline import PipelineSettings, SloClassSettings
from inferstream.settings.service import Settings

ENV_PREFIX = "INFERSTREAM__"
DELIMITER = "__"
MAPPINGS: Mapping[tuple[str, ...], type[BaseModel]] = {
    ("pipelines",): PipelineSettings,
    ("pipelines", "<name>", "slo_classes"): SloClassSettings,
}
"""Settings that hold others under names of the user's."""


class Row(NamedTuple):
    """One line of the table of settings."""

    path: str
    env: str
    default: str
    description: str


@cache
def table() -> tuple[Row, ...]:
    """Every setting with its default and the name of its environment variable."""
    return tuple(_rows(Settings, ()))


def _rows(model: type[BaseModel], parents: tuple[str, ...]) -> Iterator[Row]:
    for name, field in model.model_fields.items():
        path = (*parents, name)
        child = MAPPINGS.get(path, field.annotation)
        if isinstance(child, type) and issubclass(child, BaseModel):
            yield from _rows(child, (*path, "<name>") if path in MAPPINGS else path)
        else:
            yield Row(".".join(path), _env_name(path), _default(field), field.description or "")


def _env_name(path: tuple[str, ...]) -> str:
    return ENV_PREFIX + DELIMITER.join(part if part.startswith("<") else part.upper() for part in path)


def _default(field: FieldInfo) -> str:
    return "" if field.default is None or field.is_required() else json.dumps(field.default, default=str)
