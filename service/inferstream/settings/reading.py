"""Settings read once: defaults, then a YAML file, then `INFERSTREAM__…` variables. A mistake is told in one line.

Unknown keys are refused with the nearest right name; no message repeats a value, which may be secret.
"""

import difflib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import InitSettingsSource
from yaml import MappingNode, MarkedYAMLError, SafeLoader, ScalarNode, YAMLError
from yaml.reader import ReaderError

from inferstream.errors import SettingsError
from inferstream.settings.listing import DELIMITER, ENV_PREFIX, MAPPINGS, table
from inferstream.settings.service import Settings
from inferstream.settings.values import IN_WORDS

_NEAR_PREFIX = "INFERSTREAM_"
_FILE = "INFERSTREAM_SETTINGS"  # of the command line: names the file
_NO_SETTINGS = {_FILE, "INFERSTREAM_REQUIRE", "INFERSTREAM_SHORT"}  # the others are of the tests
_SERVICE_LINK = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_|$)")
_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://")
_read_once: dict[Path, str] = {}  # of pipes: `local up` loads its settings twice, and a pipe gives them but once


def load(file: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from a YAML file and the environment. Raises SettingsError, one line per mistake."""
    try:
        return _load(file, os.environ if environ is None else environ)
    except ValidationError as error:
        said = [_explain(each) for each in error.errors(include_url=False)]
    except SettingsError as error:
        said = [str(error)]
    raise SettingsError("\n".join(_one_line(each) for each in said)) from None


def _load(file: Path | None, environ: Mapping[str, str]) -> Settings:
    tree: dict[str, Any] = {}
    if file is not None:
        try:
            tree = _parsed(_text(file))
        except (YAMLError, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            raise SettingsError(f"settings file {file} is not a YAML mapping: {_without_content(error)}") from None
        except _Unfit as unfit:
            raise SettingsError(f"settings file {file}{unfit}") from None
    return Settings(**_merged(tree, _from_environment(environ)))


class _Unfit(Exception):
    """What is wrong with a file that is YAML; follows its name."""


class _Loader(SafeLoader):
    """Refuses a name that stands twice: YAML forbids it, PyYAML takes the last one."""

    def compose_mapping_node(self, anchor: dict[Any, Any]) -> MappingNode:
        # As it stands in the file: what is merged into it (`<<`) may be overridden.
        mapping = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for name, _ in mapping.value:
            if isinstance(name, ScalarNode):
                line = name.start_mark.line + 1
                if before := lines.get((name.tag, name.value)):
                    raise _Unfit(f", line {line}: '{name.value}' stands in line {before} already")
                lines[name.tag, name.value] = line
        return mapping


def _text(file: Path) -> str:
    """All of a file, or of a pipe. Raises SettingsError."""
    try:
        text = _read_once.get(file)
        if text is None:
            text = file.read_text(encoding="utf-8")
            if not file.is_file():
                _read_once[file] = text
        return text
    except IsADirectoryError:
        raise SettingsError(f"settings file {file} is a directory; name a YAML file in it") from None
    except (FileNotFoundError, NotADirectoryError):
        hint = "`inferstream settings` shows what it may hold"
        raise SettingsError(f"settings file {file} does not exist; {hint}") from None
    except OSError as error:
        raise SettingsError(f"settings file {file} cannot be read: {error.strerror}") from None


def _parsed(text: str) -> dict[str, Any]:
    """The settings in it. Raises _Unfit, and what the parser raises."""
    content = _Loader(text).get_single_data()
    if content is None:  # nothing, or comments only
        return {}
    if not isinstance(content, dict):
        found = "a list" if isinstance(content, list) else "a single value"
        raise _Unfit(f" holds {found}; it must hold a mapping of settings, e.g. `pipelines: {{fraud: {{slo_ms: 50}}}}`")
    if not all(isinstance(name, str) for name in content):
        raise _Unfit(" is not a YAML mapping of settings: every name must be a text")
    return InitSettingsSource(Settings, content)()


def _without_content(error: Exception) -> str:
    """What a parser says, and where. What it quotes may be part of a password."""
    if isinstance(error, ReaderError):
        return f"{error.reason}, position {error.position}"
    mark = getattr(error, "problem_mark", None)
    if not isinstance(error, MarkedYAMLError) or mark is None:
        if isinstance(error, (AttributeError, LookupError)):  # PyYAML's own way to take `!!bool 7`
            return "a value is not what its tag says"
        is_telling = not isinstance(error, (RecursionError, UnicodeDecodeError))
        return _unquoted(" ".join(str(error).split())) if is_telling else type(error).__name__
    problem = _unquoted(error.problem or "it cannot be read")
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"


def _unquoted(text: str) -> str:
    return re.sub(r"'.*'|\".*\"", "…", text, flags=re.DOTALL)


def _one_line(text: str) -> str:
    """Names are the user's and may hold anything; what is told of them must not steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """`INFERSTREAM__A__B=x` as {"a": {"b": "x"}}: every variable, so that a misspelt one is refused, not ignored."""
    tree: dict[str, Any] = {}
    _refuse_near_misses(environ)
    for variable in sorted(v for v in environ if v.upper().startswith(ENV_PREFIX)):
        *parents, leaf = variable[len(ENV_PREFIX) :].lower().split(DELIMITER)
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise SettingsError(f"{variable} contradicts another variable that sets the whole of '{parent}'")
        node[leaf] = _value(environ[variable])
    return tree


def _refuse_near_misses(environ: Mapping[str, str]) -> None:
    """One underscore where two belong would otherwise be ignored. Kubernetes' own variables of a service are left."""
    known = {re.sub("_+", "_", row.env): row.env for row in table()} | {_FILE: _FILE}
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
        except (ValueError, RecursionError):
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
    *parents, name = _generic(error["loc"])  # a misspelt name may hold dots itself
    depth = len(parents)
    siblings = sorted({p[depth] for p in (k.split(".") for k in known) if p[:depth] == parents and len(p) > depth})
    beside = difflib.get_close_matches(name, siblings, n=1)
    path = ".".join([*parents, name])
    near = [".".join([*parents, *beside])] if beside else difflib.get_close_matches(path, known, n=1, cutoff=0.7)
    hint = f"did you mean '{near[0]}'?" if near else f"known here: {', '.join(siblings)}"
    return f"{where}: unknown setting; {hint}"


def _said(error: Any) -> str:
    kind, pattern = error["type"], error.get("ctx", {}).get("pattern")
    if kind == "string_pattern_mismatch" and pattern in IN_WORDS:
        return IN_WORDS[pattern]
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "must be a mapping of settings, `name: value`"
    if kind == "too_short" and error["loc"] == ("pipelines",):
        return "name at least one, `pipelines: {fraud: {slo_ms: 50}}`, or leave `pipelines` out"
    return str(error["msg"]).removeprefix("Value error, ")


def _generic(location: tuple[Any, ...]) -> list[str]:
    parts = [str(part) for part in location]
    for number in range(1, len(parts)):
        if tuple(parts[:number]) in MAPPINGS:
            parts[number] = "<name>"
    return parts
