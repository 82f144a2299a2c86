"""Whether objects are what Kubernetes, and the operators whose kinds the chart uses, would take."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

Schema = dict[str, Any]
MODULES = {  # Go modules that carry the definitions, and where
    "github.com/kedacore/keda/v2@v2.21.0": "config/crd/bases/keda.sh_*.yaml",
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": "example/prometheus-operator-crd/*_p*[rs].yaml",
    "github.com/cert-manager/cert-manager@v1.21.2": "deploy/crds/cert-manager.io_certificates.yaml",
}


class Kinds:
    """Strict schemas of Kubernetes' own kinds, of one version."""

    def __init__(self, packages: Path, version: str) -> None:
        self._folder = packages / "kubernetes_validate" / "kubernetes-json-schema" / f"v{version}-local-strict"
        self._registry: Registry[Schema] = Registry(retrieve=self._read)  # type: ignore[call-arg] # an alias mypy does not see

    def _read(self, address: str) -> Resource[Schema]:
        content = json.loads((self._folder / address.rpartition("/")[2]).read_text())
        return Resource.from_contents(content, default_specification=DRAFT202012)

    def wrong(self, found: dict[str, Any]) -> list[str]:
        """What is wrong with the object; of a kind that is not Kubernetes' own, that there is no schema."""
        group, _, version = found["apiVersion"].rpartition("/")
        short = "-".join(part for part in (found["kind"].lower(), group.partition(".")[0], version) if part)
        file = self._folder / f"{short}.json"
        if not file.exists():
            return [f"no schema of {found['apiVersion']} {found['kind']}"]
        return _mistakes(json.loads(file.read_text()), found, self._registry)


class CustomKinds:
    """Schemas out of custom resource definitions, closed as an API server closes them."""

    def __init__(self, files: list[Path]) -> None:
        self._schemas: dict[tuple[str, str], Schema] = {}
        for definition in (d for file in files for d in yaml.safe_load_all(file.read_text()) if d):
            spec = definition["spec"]
            for version in spec["versions"]:
                schema = _closed(version["schema"]["openAPIV3Schema"])
                schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
                self._schemas[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema

    def wrong(self, found: dict[str, Any]) -> list[str]:
        """What is wrong with the object. Raises KeyError for a kind that no definition has."""
        return _mistakes(self._schemas[found["apiVersion"], found["kind"]], found, Registry())


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if closed.pop("x-kubernetes-int-or-string", False):
        closed = {"type": ["integer", "string"]}
    is_open = "additionalProperties" in closed or closed.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(closed.get("properties"), dict) and closed.get("type") == "object" and not is_open:
        closed["additionalProperties"] = False
    return closed


def _mistakes(schema: Schema, found: dict[str, Any], registry: "Registry[Schema]") -> list[str]:
    validator = jsonschema.Draft202012Validator(schema, registry=registry)
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(found)]
