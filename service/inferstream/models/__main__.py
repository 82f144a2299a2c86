"""The command line of the builders."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from inferstream.models.recipes import RECIPES

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Build and evaluate the shipped models.")
_SHIPPED = Path(__file__).parents[1] / "model_repository"
_out = Console()


@app.command("list")
def show() -> None:
    """Recipes, and the models each makes."""
    for recipe in RECIPES.values():
        _out.print(f"{recipe.name}: {recipe.served.name}, {recipe.student.name}")


@app.command()
def build(
    name: Annotated[str, typer.Argument(help="recipe")],
    out: Annotated[Path, typer.Option(help="model repository to write to")] = _SHIPPED,
) -> None:
    """Train, distil, export and evaluate the models of a recipe, and write them to a model repository."""
    try:
        from inferstream.models.build import build_recipe
    except ImportError as missing:
        _out.print(f"building needs the extra `models`: pip install 'inferstream\\[models]' ({missing})")
        raise typer.Exit(2) from None
    if name not in RECIPES:
        _out.print(f"no recipe '{name}'; there are: {', '.join(RECIPES)}")
        raise typer.Exit(2)
    for model, report in build_recipe(RECIPES[name], out, _out).items():
        _out.print(model, report)


@app.command()
def evaluate(
    name: Annotated[str, typer.Argument(help="recipe")],
    repository: Annotated[Path, typer.Option(help="model repository to look in")] = _SHIPPED,
) -> None:
    """Evaluate the models of a repository on the recipe's test data; needs no torch."""
    from inferstream.models.evaluate import evaluate_file
    from inferstream.models.fraud_data import dataset

    recipe = RECIPES[name]
    test = dataset(recipe.test_seeds)
    for model in (recipe.served, recipe.student):
        _out.print(model.name, evaluate_file(repository / model.name / "1" / "model.onnx", test))


if __name__ == "__main__":
    app()
