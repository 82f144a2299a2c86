"""A recipe from beginning to end: each step makes a model and its report, out of the models before it."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from inferstream.models.architectures import Classifier, Learner, WindowRegressor
from inferstream.models.boost import boost, export_trees, save_trees
from inferstream.models.calibrate import calibrate
from inferstream.models.config import Served
from inferstream.models.drift import write_reference
from inferstream.models.evaluate import outputs, timings
from inferstream.models.export import difference, export
from inferstream.models.family import Array, Family, Report, Split, Tell
from inferstream.models.prune import prune
from inferstream.models.quantize import quantize
from inferstream.models.recipes import Boost, Calibrate, Distill, Prune, Quantize, Step, Train, Widen
from inferstream.models.repository import Flavour, write_model
from inferstream.models.train import distill, predict, train
from inferstream.models.widen import widen
from inferstream.tasks.streaming import StreamingTask

_LIBRARIES = ("torch", "torch-pruning", "onnx", "onnxruntime", "onnxmltools", "lightgbm", "numpy")


@dataclass
class Product:
    """A model that was made: its step, its files by name in the repository, its report."""

    step: Step
    files: dict[str, Path]
    network: Learner | None = None
    """What torch trained; None for what exists as a file only."""
    report: Report = field(default_factory=dict)
    timing: Report = field(default_factory=dict)
    """Of this machine at that moment: told, and not kept in the repository."""

    @property
    def file(self) -> Path:
        return self.files["model.onnx"]


def build(family: Family, split: Split, wanted: Iterable[str], folder: Path, tell: Tell) -> dict[str, Product]:
    """Make these models, and those they start from, in a folder for scratch. Raises ValueError if an export differs."""
    made: dict[str, Product] = {}
    for step in family.recipe.needed(wanted):
        began = time.monotonic()
        product = _make(family, split, step, made, folder / step.makes, tell)
        made_in_s = time.monotonic() - began
        run = family.stepwise.outputs if family.stepwise else outputs
        report = family.accuracy(run(product.file, split.test.inputs), split.test)
        product.report = {**report, "bytes": product.file.stat().st_size, **product.report}
        product.timing = {"made_in_s": round(made_in_s, 1)} | _timing(
            family, step.makes, product.file, split.test.inputs
        )
        made[step.makes] = product
        tell(f"{step.makes}: {_line({**product.report, **product.timing})}")
    return made


def _make(family: Family, split: Split, step: Step, made: Mapping[str, Product], folder: Path, tell: Tell) -> Product:
    file, progress, report = folder / "model.onnx", partial(_progress, tell, step.makes), Report()
    match step:
        case Quantize():
            quantize(made[step.source].file, file, family.rows_to_quantize(split.train, step.rows))
            return Product(step, {"model.onnx": file})
        case Boost():
            return _trees(family, split, step, folder)
        case Train():
            network: Learner = train(split.train, step, progress)
        case Distill():
            network = distill(split.train, outputs(made[step.teacher].file, split.train.inputs), step, progress)
        case Prune():
            network = prune(split.train, _classifier(made, step.source), step, progress)
        case Calibrate():
            network, slope, offset = calibrate(split.calibrate, _classifier(made, step.source))
            report = {"calibration_slope": round(slope, 4), "calibration_offset": round(offset, 4)}
            before = made[step.source].report
            report |= {f"{name}_before": before[name] for name in ("calibration_error", "brier") if name in before}
        case Widen():
            network, margin = widen(split.calibrate, _regressor(made, step.source), step.coverage)
            report = {"margin": round(margin, 4), "coverage_before": made[step.source].report["coverage"]}
    if family.stepwise is not None:
        family.stepwise.export(network, file, family.recipe.opset)
        found = np.abs(family.stepwise.outputs(file, split.test.inputs) - predict(network, split.test.inputs)).max()
        _check(step.makes, float(found), family.recipe.onnx_difference)
        return Product(step, {"model.onnx": file}, network, report)
    names = (family.input, *family.outputs)
    export(network, file, split.train.inputs, names, family.recipe.opset, family.free_axes)
    rows = split.test.inputs[:4_096]
    _check(step.makes, difference(predict(network, rows), file, rows), family.recipe.onnx_difference)
    return Product(step, {"model.onnx": file}, network, report)


def _timing(family: Family, name: str, file: Path, inputs: Array) -> Report:
    if family.stepwise is not None:
        return dict(family.stepwise.timings({name: file})[name])
    return timings({name: file}, inputs, rounds=5, most_rows=family.max_batch_size)[name]


def _trees(family: Family, split: Split, step: Boost, folder: Path) -> Product:
    files = {"model.onnx": folder / "model.onnx", "model.txt": folder / "model.txt"}
    trees = boost(split.train, step)
    export_trees(trees, files["model.onnx"], family.input, family.output)
    save_trees(trees, files["model.txt"])
    rows = split.test.inputs[:4_096]
    _check(
        step.makes, difference(trees.predict(rows)[:, None], files["model.onnx"], rows), family.recipe.onnx_difference
    )
    return Product(step, files)


def write(family: Family, split: Split, made: Mapping[str, Product], repository: Path, flavour: Flavour) -> None:
    """Put the models in a repository, each with where it comes from."""
    for name, product in made.items():
        streams = issubclass(family.task, StreamingTask)
        served = Served(name, family.max_batch_size, family.task.inputs, family.task.outputs, streams)
        about = {
            "recipe": family.recipe.name,
            "steps": [{"kind": type(s).__name__.lower(), **asdict(s)} for s in family.recipe.needed([name])],
            "data": split.described,
            "libraries": {library: version(library).partition("+")[0] for library in _LIBRARIES},
            "test": product.report,
            "features": family.columns,
        }
        write_model(repository, flavour, served, product.files, about)
        if family.stepwise is None:
            write_reference(repository / name, product.file, split.test.inputs, family.columns)


def _classifier(made: Mapping[str, Product], name: str) -> Classifier:
    network = made[name].network
    if not isinstance(network, Classifier):
        raise ValueError(f"'{name}' is no classifier that can be changed")
    return network


def _regressor(made: Mapping[str, Product], name: str) -> WindowRegressor:
    network = made[name].network
    if not isinstance(network, WindowRegressor):
        raise ValueError(f"'{name}' gives no interval that can be widened")
    return network


def _check(name: str, found: float, most: float) -> None:
    if found > most:
        raise ValueError(f"{name}: the exported file differs from the trained model by {found:.2g}, more than {most:g}")


def _progress(tell: Tell, name: str, epoch: int, epochs: int, loss: float) -> None:
    tell(f"{name}: epoch {epoch}/{epochs}, loss {loss:.5f}")


def _line(report: Report) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in report.items())
