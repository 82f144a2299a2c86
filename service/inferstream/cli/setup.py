"""What a service is set up with: settings, metrics, objectives, sizes, topics."""

from typing import Annotated, Literal

import typer

from inferstream.cli.commands import AsJson, PipelineName, SettingsFile, Timeout, app, end

_HIGHEST_RATE = 1_000_000_000  # of a whole cluster
_LONGEST_MS = 86_400_000


@app.command("settings")
def show_settings(
    settings: SettingsFile = None,
    effective: Annotated[
        bool, typer.Option(help="the values in force instead of the table; secrets are masked")
    ] = False,
    markdown: Annotated[bool, typer.Option(help="the table as Markdown")] = False,
    json_schema: Annotated[bool, typer.Option("--json-schema", help="instead, a JSON Schema of the file")] = False,
) -> None:
    """All settings with their defaults and environment names."""
    from inferstream.operate.settings_schema import show_schema
    from inferstream.operate.settings_table import show_effective, show_table
    from inferstream.settings import load

    if json_schema:
        show_schema()
    elif effective:
        show_effective(load(settings))
    else:
        show_table(markdown)


@app.command("metrics")
def show_metrics(
    markdown: Annotated[bool, typer.Option(help="the table as Markdown")] = False,
    dashboard: Annotated[bool, typer.Option(help="instead, a dashboard of them for Grafana")] = False,
) -> None:
    """All metrics with their labels."""
    from inferstream.operate.monitoring.dashboard import as_json
    from inferstream.operate.monitoring.metrics_table import show_metrics

    if dashboard:
        typer.echo(as_json())
    else:
        show_metrics(markdown)


@app.command("slo")
def show_slo(
    settings: SettingsFile = None,
    form: Annotated[
        Literal["prometheus", "openslo", "sloth"], typer.Option("--format", help="rules for Prometheus, or a spec")
    ] = "prometheus",
    runbook: Annotated[str, typer.Option(help="where RUNBOOK.md can be read, for the alerts' links")] = "RUNBOOK.md",
    label: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE that tells our series from others in the same Prometheus; may be repeated"),
    ] = None,
) -> None:
    """The objectives in the settings as recording and alert rules, in YAML."""
    from inferstream.operate.monitoring.slo import show_slo
    from inferstream.settings import load

    show_slo(load(settings), form, runbook, label or [])


@app.command("plan")
def show_plan(
    rate: Annotated[float, typer.Option(min=0.001, max=_HIGHEST_RATE, help="events a second at the peak")],
    alpha_ms: Annotated[
        float, typer.Option(min=0.001, max=_LONGEST_MS, help="what a batch takes however small, measured")
    ],
    beta_ms: Annotated[
        float, typer.Option(min=0.00001, max=_LONGEST_MS, help="what each of its rows takes beside, measured")
    ],
    settings: SettingsFile = None,
    pipeline: PipelineName = None,
    slo_ms: Annotated[
        float | None, typer.Option(min=0.1, max=_LONGEST_MS, help="default: the tightest SLO class of the pipeline")
    ] = None,
    reserve_ms: Annotated[
        float, typer.Option(min=0, max=_LONGEST_MS, help="of the SLO, for Kafka before and after")
    ] = 10.0,
    instances: Annotated[int, typer.Option(min=1, max=1_000, help="instances of the model in each Triton")] = 1,
    process_rate: Annotated[
        float | None,
        typer.Option(min=1, max=_HIGHEST_RATE, help="events a second that one process handles, measured"),
    ] = None,
    headroom: Annotated[float, typer.Option(min=0, max=0.9, help="share of every instance to keep free")] = 0.3,
    spare: Annotated[int, typer.Option(min=0, max=10_000, help="pods more than the peak needs")] = 1,
    growth: Annotated[int, typer.Option(min=1, max=1_000, help="partitions for so many times the pods")] = 2,
    as_json: AsJson = False,
) -> None:
    """How many pods, partitions and model instances a load needs, each pod with a Triton of its own."""
    from inferstream.operate.pipelines import choose
    from inferstream.operate.plan import Load, Margin, Model, show_plan
    from inferstream.settings import load

    chosen = choose(load(settings), pipeline).settings
    tightest_ms = slo_ms or min(slo_class.slo_ms for slo_class in chosen.classes.values())
    model = Model(alpha_ms, beta_ms, chosen.batching.max_batch_size, instances)
    margin = Margin(headroom, spare, growth, process_rate)
    show_plan(Load(rate, tightest_ms, reserve_ms), model, margin, as_json)


@app.command("topics")
def create_topics(
    partitions: Annotated[int, typer.Option(min=1, max=10_000, help="of each topic that is created")],
    replication: Annotated[int, typer.Option(min=1, max=32_767, help="brokers that keep each of them")] = 3,
    settings: SettingsFile = None,
    timeout: Timeout = 5.0,
) -> None:
    """Create the topics of the settings that do not exist; change none that do."""
    from inferstream.operate.pipelines import patient
    from inferstream.operate.topics import run_topics
    from inferstream.settings import load

    end(run_topics(patient(load(settings), timeout), partitions, replication))


@app.command("acls")
def show_acls(
    principal: Annotated[
        str | None,
        typer.Option(help="who is allowed, as the broker names us; default: User:{kafka.sasl_username or inferstream}"),
    ] = None,
    commands: Annotated[
        list[str] | None,
        typer.Option("--for", help="not what run and check need but this command, e.g. replay; may be repeated"),
    ] = None,
    settings: SettingsFile = None,
    as_json: AsJson = False,
) -> None:
    """The least that a broker with ACLs must allow, per pipeline, as commands of kafka-acls."""
    from inferstream.operate.acls import show_acls
    from inferstream.settings import load

    show_acls(load(settings), principal, commands or [], as_json)
