"""The command line of the builders."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from inferstream.errors import InferstreamError, how_to_install
from inferstream.models.families import FAMILIES
from inferstream.models.family import DataError, Family, Report, Split
from inferstream.models.recipes import shortfalls
from inferstream.models.repository import Flavour

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Build and evaluate models.")
_SHIPPED = Path(__file__).parents[1] / "model_repository"
_RESULTS = Path(__file__).with_name("RESULTS.md")

_Name = Annotated[str, typer.Argument(help="family; `list` shows them")]
_Data = Annotated[Path | None, typer.Option(help="Parquet file of your own, instead of the simulation")]


@app.command("list")
def show() -> None:
    """Families, and the models each recipe makes; those marked * are shipped."""
    for name, family in FAMILIES.items():
        recipe = family.recipe
        models = (f"{model}{'*' if model in recipe.shipped else ''}" for model in recipe.models)
        typer.echo(f"{name}: {', '.join(models)}")


@app.command()
def build(
    name: _Name,
    out: Annotated[Path, typer.Option(help="model repository to write to")] = _SHIPPED,
    data: _Data = None,
    everything: Annotated[bool, typer.Option("--all", help="all models of the recipe, not only those shipped")] = False,
    only: Annotated[list[str] | None, typer.Option("--model", help="only this model; may be repeated")] = None,
    flavour: Annotated[Flavour, typer.Option(help="Triton it is for")] = Flavour.LOCAL,
) -> None:
    """Make the models of a family and write them to a model repository."""
    _build(_family(name), out, data, everything, only, flavour)


def _build(
    family: Family,
    out: Path,
    data: Path | None = None,
    everything: bool = True,
    only: list[str] | None = None,
    flavour: Flavour = Flavour.LOCAL,
) -> dict[str, float]:
    """Seconds that each model took to make, from the data or from models before it."""
    _needs_torch()
    from inferstream.models.build import build as make
    from inferstream.models.build import write

    if out == _SHIPPED and (data is not None or everything or flavour is not Flavour.LOCAL):
        raise DataError("--data, --all and --flavour need --out: the shipped models stay as they are")
    recipe = family.recipe
    wanted = recipe.models if everything else recipe.shipped
    if only:
        wanted = _chosen(only, recipe.shipped if out == _SHIPPED else recipe.models)
    split = _split(family, data)
    with TemporaryDirectory() as scratch:
        made = make(family, split, wanted, Path(scratch), _tell)
        short = shortfalls(recipe.limits, {model: product.report for model, product in made.items()})
        for line in short:
            _tell(line)
        if short and data is None:
            raise DataError("nothing was written: a model is worse than its recipe allows")
        for model in wanted:
            _compare(model, made[model].report, out)
        write(family, split, {model: made[model] for model in wanted}, out, flavour)
    _tell(f"written to {out}: {', '.join(wanted)}")
    return {model: float(product.timing["made_in_s"]) for model, product in made.items()}


@app.command()
def evaluate(
    name: _Name,
    repository: Annotated[Path, typer.Option(help="model repository to look in")] = _SHIPPED,
    data: _Data = None,
) -> None:
    """Figures of a repository's models on the family's test rows; needs no torch."""
    from inferstream.models import evaluate as verb

    family = _family(name)
    files = {model: repository / model / "1" / "model.onnx" for model in family.recipe.models}
    files = {model: file for model, file in files.items() if file.is_file()}
    if not files:
        raise DataError(f"{repository} holds none of {', '.join(family.recipe.models)}")
    test = _split(family, data).test
    run = family.stepwise.outputs if family.stepwise else verb.outputs
    most = family.max_batch_size
    times = family.stepwise.timings(files) if family.stepwise else verb.timings(files, test.inputs, most_rows=most)
    for model, file in files.items():
        report = family.accuracy(run(file, test.inputs), test)
        figures = {**report, "bytes": file.stat().st_size, **times[model]}
        typer.echo(f"{model}: {', '.join(f'{figure} {value:g}' for figure, value in figures.items())}")


@app.command()
def drift(
    name: _Name,
    repository: Annotated[Path, typer.Option(help="model repository to look in and write to")] = _SHIPPED,
    data: _Data = None,
) -> None:
    """Write anew what live tensors are held against, `drift.json` beside each model; `build` does it too."""
    from inferstream.models.drift import write_reference

    family = _family(name)
    if family.stepwise is not None:
        raise DataError(
            f"models of '{name}' go step by step: there are no rows that live tensors could be held against"
        )
    models = [model for model in family.recipe.models if (repository / model / "1" / "model.onnx").is_file()]
    test = _split(family, data).test
    for model in models:
        write_reference(repository / model, repository / model / "1" / "model.onnx", test.inputs, family.columns)
    _tell(f"written to {repository}: {', '.join(models)}")


@app.command()
def features(
    data: Annotated[Path, typer.Option(help="Parquet file of payments")],
    out: Annotated[Path, typer.Option(help="Parquet file to write")],
) -> None:
    """Write the reference aggregates of payments, to compare a feature store of yours with."""
    from inferstream.models.fraud.table import write_aggregates

    _tell(f"{write_aggregates(data, out)} rows written to {out}")


@app.command()
def results(
    name: _Name,
    out: Annotated[Path, typer.Option(help="file to write; other families' sections in it stay")] = _RESULTS,
    repository: Annotated[Path | None, typer.Option(help="made by `build --all`; without it, all is built")] = None,
) -> None:
    """Measure every model of a family, in the process and on the local Triton, and write the tables; minutes."""
    family = _family(name)
    _needs_torch()
    from inferstream.models.report import with_section
    from inferstream.models.results import measure

    with TemporaryDirectory() as scratch:
        made_in = {}
        if repository is None:
            repository = Path(scratch)
            made_in = _build(family, repository)
        section = measure(family, repository, made_in, _tell)
    out.write_text(with_section(out.read_text() if out.is_file() else "", name, section))
    _tell(f"written to {out}")


@app.command()
def gpu(
    names: Annotated[list[str], typer.Argument(help="families; `list` shows them")],
    out: Annotated[Path, typer.Option(help="file to write; the other sections in it stay")] = _RESULTS,
    repository: Annotated[Path, typer.Option(help="model repository to look in")] = _SHIPPED,
) -> None:
    """Measure models on this machine's GPU beside its CPU, through the local Triton, and write the tables."""
    from inferstream.models.gpu import HEAD, measure
    from inferstream.models.report import with_section

    parts = []
    for family in map(_family, names):
        models = [model for model in family.recipe.models if (repository / model / "1" / "model.onnx").is_file()]
        if family.stepwise is not None or not models:
            raise DataError(f"{repository} holds no model of '{family.recipe.name}' that has a configuration for a GPU")
        parts.append(measure(family, repository, models, _tell))
    section = "\n".join(["## gpu\n", HEAD, *parts])
    out.write_text(with_section(out.read_text() if out.is_file() else "", "gpu", section))
    _tell(f"written to {out}")


def _compare(model: str, report: Report, repository: Path) -> None:
    """Tell what a model is like beside the one it takes the place of."""
    file = repository / model / "PROVENANCE.json"
    before = json.loads(file.read_text())["test"] if file.is_file() else {}
    for figure, value in report.items():
        was = f" (was {before[figure]:g})" if figure in before else ""
        _tell(f"{model}: {figure} {value:g}{was}")


def _chosen(names: list[str], known: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise DataError(f"no model '{name}' to be made here; there are: {', '.join(known)}")
    return tuple(names)


def _family(name: str) -> Family:
    if name not in FAMILIES:
        raise DataError(f"no family '{name}'; there are: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def _split(family: Family, data: Path | None) -> Split:
    if data is None:
        return family.simulated(_tell)
    if family.own is None:
        raise DataError(f"family '{family.recipe.name}' learns from its own data only: leave --data out")
    return family.own(data, _tell)


def _needs_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise DataError(f"building needs the extra `models`: {how_to_install('models')}") from None


def _tell(text: str) -> None:
    typer.echo(text, err=True)


def main() -> None:
    """Run; an error that a user can mend is one line."""
    try:
        app()
    except InferstreamError as error:
        _tell(f"error: {error}")
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
