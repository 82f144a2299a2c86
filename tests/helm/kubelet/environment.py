"""The variables of a container, and what of them stands in its command."""

import re
from collections.abc import Mapping
from typing import Any, Protocol

from tests.helm.api import Object

_REFERENCE = re.compile(r"\$(\$)?\(([A-Za-z_.][\w.-]*)\)")
_LABEL = re.compile(r"metadata\.(labels|annotations)\['(.+)'\]")


class Lookup(Protocol):
    """Where Secrets and ConfigMaps are had from."""

    async def data(self, kind: str, name: str, optional: bool = False) -> Mapping[str, bytes]:
        """`secrets` or `configmaps`; empty if it may be missing and is. Raises LookupError."""


async def variables(container: Object, fields: Mapping[str, Any], lookup: Lookup) -> dict[str, str]:
    """Raises LookupError for what is not there. `fields`: the pod, and its addresses under `status`."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        ref = source.get("secretRef") or source["configMapRef"]
        data = await lookup.data("secrets" if "secretRef" in source else "configmaps", **_named(ref))
        found |= {f"{source.get('prefix', '')}{key}": value.decode() for key, value in data.items()}
    for each in container.get("env", ()):
        value = await _value(each, fields, lookup) if "valueFrom" in each else expanded(each.get("value", ""), found)
        if value is not None:
            found[each["name"]] = value
    return found


def expanded(text: str, known: Mapping[str, str]) -> str:
    """`$(NAME)` becomes its value, `$$(NAME)` and what is unknown stay."""

    def put(match: re.Match[str]) -> str:
        whole, escaped, name = match[0], match[1], match[2]
        return whole[1:] if escaped else known.get(name, whole)

    return _REFERENCE.sub(put, text)


def _named(ref: Object) -> dict[str, Any]:
    return {"name": ref["name"], "optional": ref.get("optional", False)}


async def _value(each: Object, fields: Mapping[str, Any], lookup: Lookup) -> str | None:
    source = each["valueFrom"]
    if "fieldRef" in source:
        return field(source["fieldRef"]["fieldPath"], fields)
    for kind, name in (("secrets", "secretKeyRef"), ("configmaps", "configMapKeyRef")):
        if ref := source.get(name):
            data = await lookup.data(kind, **_named(ref))
            if ref["key"] in data:
                return data[ref["key"]].decode()
            if ref.get("optional"):
                return None
            raise LookupError(f"{kind}/{ref['name']} has no key {ref['key']}")
    raise LookupError(f"{each['name']}: {', '.join(source)} is not known to this kubelet")


def field(path: str, fields: Mapping[str, Any]) -> str:
    """What a fieldPath names."""
    if match := _LABEL.fullmatch(path):
        return str(fields["metadata"].get(match[1], {}).get(match[2], ""))
    value: Any = fields
    for part in path.split("."):
        value = value[part]
    return str(value)
