"""acls: the least that a broker must allow, as commands of Kafka's own `kafka-acls`, or as JSON."""

import json
import shlex
from collections.abc import Collection, Sequence

from inferstream.errors import SettingsError
from inferstream.kafka import Acl, of_service, of_tools
from inferstream.kafka.access.acls import TOOLS
from inferstream.settings import Settings


def show_acls(settings: Settings, principal: str, tools: Collection[str], as_json: bool) -> None:
    """Print those of the service, or of these commands. Raises SettingsError for a command that has none."""
    if unknown := sorted(set(tools) - set(TOOLS)):
        raise SettingsError(f"--for {unknown[0]}: name one of {', '.join(TOOLS)}")
    acls = [acl for acl in of_tools(settings) if acl.use in tools] if tools else of_service(settings)
    if as_json:
        print(json.dumps({"principal": principal, "acls": [acl._asdict() for acl in acls]}))
        return
    print("# READ and WRITE bring DESCRIBE with them; nothing is created or altered.")
    for use in dict.fromkeys(acl.use for acl in acls):
        print(f"\n# {use}")
        for line in _commands([acl for acl in acls if acl.use == use], principal, settings.kafka.bootstrap_servers):
            print(line)


def _commands(acls: Sequence[Acl], principal: str, servers: str) -> list[str]:
    """One each, without repeats: pipelines may share a topic."""
    start = ["kafka-acls.sh", "--bootstrap-server", servers, "--command-config", "admin.properties", "--add"]
    return list(dict.fromkeys(shlex.join([*start, "--allow-principal", principal, *_options(acl)]) for acl in acls))


def _options(acl: Acl) -> list[str]:
    resource = "--" + acl.resource.replace(" ", "-")
    pattern = ["--resource-pattern-type", acl.pattern] if acl.pattern != "literal" else []
    operation = "".join(part.capitalize() for part in acl.operation.split("_"))
    return ["--operation", operation, resource, acl.name, *pattern]
