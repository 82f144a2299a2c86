"""A recipe from beginning to end: data, served model, student, files, reports."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console

from inferstream.models.evaluate import Report, evaluate_file, timing
from inferstream.models.export import difference, export
from inferstream.models.fraud_data import Dataset, dataset
from inferstream.models.network import Classifier
from inferstream.models.recipes import Network, Recipe
from inferstream.models.repository import ModelConfig, Tensor, write_model
from inferstream.models.train import Progress, distill, train
from inferstream.tasks.fraud.features import FEATURES


def build_recipe(recipe: Recipe, repository: Path, out: Console) -> dict[str, Report]:
    """Write the recipe's models to the repository; a report for each. Raises ValueError beyond a tolerance."""
    out.print(f"simulating {len(recipe.train_seeds) + len(recipe.test_seeds)} worlds")
    learn, test = dataset(recipe.train_seeds), dataset(recipe.test_seeds)
    served = train(learn, recipe.served, _progress(recipe.served, out))
    undistilled = train(learn, recipe.student, _progress(recipe.student, out))
    student = distill(learn, served, recipe.student, recipe.distill_alpha, _progress(recipe.student, out))

    reports = {}
    for network, model in ((recipe.served, served), (recipe.student, student)):
        file = repository / network.name / "1" / "model.onnx"
        export(model, file, recipe.opset)
        reports[network.name] = evaluate_file(file, test)
        _check_difference(recipe, network, difference(model, file, test))
        out.print(network.name, timing(file, test))
    plain = _report_of(undistilled, recipe, repository, test)
    gain = reports[recipe.student.name]["average_precision"] - plain["average_precision"]
    reports[recipe.student.name]["distillation_gain_average_precision"] = round(gain, 4)
    _check_student(recipe, reports)
    for network in (recipe.served, recipe.student):
        write_model(repository, _config(network, recipe), _provenance(network, recipe, reports[network.name]))
    return reports


def _report_of(model: Classifier, recipe: Recipe, repository: Path, test: Dataset) -> Report:
    """The report of a model that is not kept."""
    file = repository / "undistilled.onnx"
    export(model, file, recipe.opset)
    report = evaluate_file(file, test)
    file.unlink()
    return report


def _check_difference(recipe: Recipe, network: Network, found: float) -> None:
    if found > recipe.tolerances["onnx_difference"]:
        raise ValueError(f"{network.name}: the exported file differs from torch by {found}")


def _check_student(recipe: Recipe, reports: dict[str, Report]) -> None:
    key = "average_precision"
    drop = reports[recipe.served.name][key] - reports[recipe.student.name][key]
    if drop > recipe.tolerances["student_ap_drop"]:
        raise ValueError(f"the student's average precision is {drop:.4f} below the served model's")


def _config(network: Network, recipe: Recipe) -> ModelConfig:
    return ModelConfig(
        network.name,
        recipe.max_batch_size,
        (Tensor("features", "TYPE_FP32", (len(FEATURES),)),),
        (Tensor("probability", "TYPE_FP32", (1,)),),
    )


def _provenance(network: Network, recipe: Recipe, report: Report) -> dict[str, Any]:
    return {
        "recipe": recipe.name,
        "role": "served" if network is recipe.served else "student",
        "hidden": network.hidden,
        "epochs": network.epochs,
        "seed": network.seed,
        "data": {"train_seeds": recipe.train_seeds, "test_seeds": recipe.test_seeds},
        "libraries": {name: version(name).partition("+")[0] for name in ("torch", "onnx", "onnxruntime", "numpy")},
        "test": report,
        "features": FEATURES,
    }


def _progress(network: Network, out: Console) -> Progress:
    return lambda epoch, epochs, loss: out.print(f"{network.name} epoch {epoch}/{epochs} loss {loss:.5f}")
