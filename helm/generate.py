"""What the chart takes from the code: python -m helm.generate writes it, a test compares.

values.schema.json gets the part under `config`; README.md the table of values, from it and values.yaml; files/ get the
settings' defaults, the dashboard, and the alert rules with places for what depends on the settings.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from inferstream.operate.monitoring.alerts import rules
from inferstream.operate.monitoring.dashboard import as_json
from inferstream.operate.monitoring.slo import as_yaml
from inferstream.operate.settings_schema import schema
from inferstream.settings import PipelineSettings, Settings

CHART = Path(__file__).parent / "inferstream"
_SCHEMA = "values.schema.json"
_TABLE = "## Values"
_ANSWERED, _SCORED = 0.987654, 0.876543  # objectives whose digits appear nowhere else
_LABEL, _VALUE = "chart_label", "chart-value"
_PIPELINE, _SLO_MS = "chart-pipeline", 61_728_394
_PLACES = {
    f"{1 - _ANSWERED:.9g}": "@ANSWERED_BUDGET@",
    f"{100 * (1 - _ANSWERED):.4g}%": "@ANSWERED_PERCENT@",
    f"{1 - _SCORED:.9g}": "@SCORED_BUDGET@",
    f"{100 * (1 - _SCORED):.4g}%": "@SCORED_PERCENT@",
    f"{2 * _SLO_MS / 1000:g}": "@LAG_SECONDS@",
    _PIPELINE: "@PIPELINE@",
    f'{_LABEL}="{_VALUE}"': "@MATCHERS@",
}


def generated() -> dict[str, str]:
    """Each file of the chart that comes from the code, by its path in the chart."""
    return {
        _SCHEMA: _values_schema(),
        "files/defaults.yaml": _defaults(),
        "files/alerts.yaml": _alerts(),
        "files/dashboard.json": as_json() + "\n",
        "README.md": _readme(),
    }


def _values_schema() -> str:
    """The schema as it is, with `config` and its definitions put in anew."""
    values: dict[str, Any] = json.loads((CHART / _SCHEMA).read_text())
    config = schema()
    definitions = config.pop("definitions")
    del config["$schema"]
    values["properties"]["config"] = {**config, "description": "The service's own settings; no secrets."}
    return json.dumps({**values, "definitions": definitions}, indent=1) + "\n"


def _defaults() -> str:
    settings = Settings().model_dump(mode="json", exclude={"pipelines"})
    defaults = {"settings": settings, "pipeline": PipelineSettings().model_dump(mode="json")}
    return str(yaml.safe_dump(defaults, sort_keys=False))


def _alerts() -> str:
    given = {
        "pipelines": {_PIPELINE: {"slo_ms": _SLO_MS}},
        "slo": {"objective": _ANSWERED, "scored_objective": _SCORED},
    }
    made = rules(Settings.model_validate(given), "@RUNBOOK@", {_LABEL: _VALUE})
    for rule in (rule for group in made["groups"] for rule in group["rules"]):
        del rule["labels"][_LABEL]
        if not rule["labels"]:
            del rule["labels"]
    text = as_yaml([made])
    for found, place in _PLACES.items():
        if found not in text:
            raise ValueError(f"the rules have no {place} any more: the chart's template must follow them")
        text = text.replace(found, place)
    return text


def _readme() -> str:
    """The README as it is, with the table of values put in anew."""
    text = (CHART / "README.md").read_text()
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    schema_: dict[str, Any] = json.loads(_values_schema())
    rows = [f"| `{path}` | {default} | {said} |" for path, default, said in _values(schema_["properties"], defaults)]
    table = "\n".join(["| value | default | what it is |", "|---|---|---|", *rows])
    return text[: text.index(_TABLE) + len(_TABLE)] + f"\n\n{table}\n"


def _values(properties: dict[str, Any], defaults: dict[str, Any], above: str = "") -> Iterator[tuple[str, str, str]]:
    """Path, default and description; of what is a Kubernetes object, and of the settings, as a whole."""
    for name, each in properties.items():
        default = defaults.get(name)
        if "properties" in each and name != "config":
            yield from _values(each["properties"], default or {}, f"{above}{name}.")
        elif name in defaults:
            yield f"{above}{name}", f"`{json.dumps(default)}`", each.get("description", "")


def main() -> None:
    """Write every file."""
    for path, text in generated().items():
        (CHART / path).write_text(text)


if __name__ == "__main__":
    main()
