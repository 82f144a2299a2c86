"""Kinds of values that settings have, and how a user is told what one should be."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

_TOPIC = r"^[a-zA-Z0-9._-]{1,249}$"
_NAME = r"^[a-z][a-z0-9_-]{0,62}$"
_MODEL = r"^[^:\s]+(:[0-9]+)?$"
SERVER_KEY = re.compile(r"[a-z0-9_.-]+=[!-~](?:[ -~]*[!-~])?")
"""What a server wants to see in a header: a name of those that HTTP/2 has, and text that it carries."""
COLLECTOR = r"^https?://[^\s/@]+:[0-9]{1,5}$"
GRANT_URL = r"^(https://[^\s/@]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?)(/\S*)?$"
IN_WORDS = {
    GRANT_URL: "write https://host/path; http:// only to localhost: the client secret goes there",
    COLLECTOR: "write http://host:port or https://host:port",
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
ModelName = Annotated[str, StringConstraints(pattern=_MODEL)]
Share = Annotated[float, Field(ge=0, le=1)]
Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]
Slo = Annotated[int, Field(ge=1, le=86_400_000)]  # a deadline on the wire is a whole millisecond
Objective = Annotated[float, Field(ge=0.5, lt=1)]
OnMiss = Literal["fallback", "score_late", "expire", "dead_letter"]


def off_of_yaml(given: Any) -> Any:
    """YAML takes a bare `off` for false."""
    return "off" if given is False else given


class Tree(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
