"""acls: the least that a broker must allow, as commands of Kafka's own `kafka-acls`, or as JSON."""

import difflib
import json
import re
import shlex
import sys
from collections.abc import Collection, Iterable, Sequence

from inferstream.errors import SettingsError
from inferstream.kafka import Acl, of_service, of_tools
from inferstream.kafka.access.acls import TOOLS
from inferstream.kafka.access.credentials import username
from inferstream.settings import Settings

_ALTERING = ("CREATE", "ALTER", "ALTER_CONFIGS", "DELETE")
_PRINCIPAL = re.compile(r"[A-Za-z]+:\S(.*\S)?")


def show_acls(settings: Settings, principal: str | None, tools: Collection[str], as_json: bool) -> None:
    """Print those of the service, or of these commands; `principal`: who, None: as the settings log in.

    Raises SettingsError for a command that has none and for what is no principal.
    """
    for tool in sorted(set(tools) - set(TOOLS)):
        raise SettingsError(_no_tool(tool))
    who = _principal(settings, principal)
    acls = [acl for acl in of_tools(settings) if acl.use in tools] if tools else of_service(settings)
    if as_json:
        print(json.dumps({"principal": who, "acls": [acl._asdict() for acl in acls]}))
        return
    altered = "" if any(acl.operation in _ALTERING for acl in acls) else "; nothing is created or altered"
    print(f"# READ and WRITE bring DESCRIBE with them{altered}.")
    for use in dict.fromkeys(acl.use for acl in acls):
        print(f"\n# {use}")
        for line in _lines([acl for acl in acls if acl.use == use], who, settings.kafka.bootstrap_servers):
            print(line)


def _no_tool(given: str) -> str:
    if given in ("run", "check"):
        return f"--for {given}: leave --for out: the plain list is that of run and check"
    near = difflib.get_close_matches(given, TOOLS, n=1)
    return f"--for {given!r}: " + (f"did you mean '{near[0]}'? " if near else "") + f"name one of {', '.join(TOOLS)}"


def _principal(settings: Settings, given: str | None) -> str:
    """Whom to allow. Raises SettingsError for what a broker would take and never match."""
    who = f"User:{username(settings.kafka) or 'inferstream'}" if given is None else given
    if not _PRINCIPAL.fullmatch(who) or not who.isprintable():
        where = "kafka.sasl_username" if given is None else "--principal"
        raise SettingsError(f"{where}: {who!r} is no principal: write Type:name in one line, e.g. User:inferstream")
    if who.endswith(":*"):
        print(f"warning: --principal {who} allows it to everybody, also to who has no login", file=sys.stderr)
    return who


def _lines(acls: Sequence[Acl], principal: str, servers: str) -> Iterable[str]:
    """A command each after a comment on why, without repeats: pipelines may share a topic."""
    start = ["kafka-acls.sh", "--bootstrap-server", servers, "--command-config", "admin.properties", "--add"]
    reasons: dict[str, dict[str, None]] = {}
    for acl in acls:
        command = shlex.join([*start, "--allow-principal", principal, *_options(acl)])
        reasons.setdefault(command, {})[acl.why] = None
    for command, whys in reasons.items():
        yield f"#   {'; '.join(whys)}"
        yield command


def _options(acl: Acl) -> list[str]:
    resource = "--" + acl.resource.replace(" ", "-")
    pattern = ["--resource-pattern-type", acl.pattern] if acl.pattern != "literal" else []
    operation = "".join(part.capitalize() for part in acl.operation.split("_"))
    return ["--operation", operation, resource, acl.name, *pattern]
