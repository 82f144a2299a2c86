"""settings: what can be set, and what is."""

import sys

import yaml
from rich.console import Console
from rich.table import Table

from inferstream.settings import Settings, table


def show_table(markdown: bool) -> None:
    """All settings: a table on a terminal, Markdown or tab-separated lines elsewhere."""
    rows = table()
    if markdown:
        print("| setting | default | environment | what it is |\n|---|---|---|---|")
        for row in rows:
            print(f"| `{row.path}` | {f'`{row.default}`' if row.default else ''} | `{row.env}` | {row.description} |")
    elif not sys.stdout.isatty():
        for row in rows:
            print("\t".join(row))
    else:
        shown = Table("setting", "default", "what it is", title="settings", title_justify="left")
        for row in rows:
            shown.add_row(row.path, row.default, row.description)
        console = Console()
        console.print(shown)
        console.print("As variables: INFERSTREAM__ and the path in capitals, two underscores for each dot, e.g.")
        console.print("INFERSTREAM__PIPELINES__FRAUD__SLO_MS=50")


def show_effective(settings: Settings) -> None:
    """The settings in force, as YAML that `--settings` would read; secrets are masked."""
    print(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False), end="")
