"""The report of a family's models: accuracy, size and speed, in the process and on the local Triton. One command."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from inferstream.models import evaluate, metrics, serve
from inferstream.models.evaluate import batches, outputs
from inferstream.models.family import Dataset, Family, Report, Split, Tell
from inferstream.models.recipes import Calibrate, Distill, Limit, Train, shortfalls
from inferstream.models.report import latencies, table
from inferstream.models.train import distill, predict, train

_SEEDS = (0, 1, 2)


def measure(family: Family, repository: Path, made_in: Mapping[str, float], tell: Tell) -> str:
    """A family's section, measured on a repository that holds every model of the recipe.

    `made_in`: seconds that a model took to make, where they are known.
    """
    models = family.recipe.models
    reports = {name: _provenance(repository, name)["test"] for name in models}
    parts = [f"## {family.recipe.name}\n\n{family.about}\n", *_accuracy(family, reports), *_making(made_in)]
    if family.stepwise is not None:
        return "\n".join(parts) + family.stepwise.results(repository, tell)
    split = family.simulated(tell)
    files = {name: repository / name / "1" / "model.onnx" for name in models}
    tell("measuring in the process")
    most = family.max_batch_size
    inside = evaluate.timings(files, split.test.inputs, most_rows=most)
    through = serve.timings(family, repository, models, split.test.inputs, tell)
    parts += [
        "### In the process\n\nONNX Runtime on one thread; p50 / p99 in microseconds by rows of a call.\n",
        table(
            ["model", f"rows/s at {most:,}", *map(str, batches(most))],
            [[name, f"{inside[name]['rows_per_second']:,.0f}", *latencies(inside[name])] for name in models],
        ),
        "### Through Triton\n\nThe local stack, one call at a time, the service's client; p50 / p99 in microseconds.\n",
        table(["model", *map(str, batches(most))], [[name, *latencies(through[name])] for name in models]),
        *_comparisons(family, reports, inside),
        *_distillation(family, split, files, tell),
        *_calibration(family, repository, files, split.test),
    ]
    return "\n".join(parts)


def _accuracy(family: Family, reports: Mapping[str, Report]) -> list[str]:
    rows = [[name, *(report[f] for f in family.figures)] for name, report in reports.items()]
    return ["### Accuracy and size\n", table(["model", *family.figures.values()], rows)]


def _making(made_in: Mapping[str, float]) -> list[str]:
    """Of a model that is made from others, without theirs."""
    rows = [[name, f"{seconds:.1f}"] for name, seconds in made_in.items()]
    return ["### To make\n", table(["model", "seconds"], rows)] if rows else []


def _comparisons(family: Family, reports: Mapping[str, Report], inside: Mapping[str, Report]) -> list[str]:
    """A line for each limit of the recipe: what the smaller model costs and what it buys."""
    lines = ["### Against each other\n"] if family.recipe.limits else []
    for limit in family.recipe.limits:
        loss = reports[limit.against][limit.figure] - reports[limit.model][limit.figure]
        speed = inside[limit.model]["rows_per_second"] / inside[limit.against]["rows_per_second"]
        size = reports[limit.model]["bytes"] / reports[limit.against]["bytes"]
        kept = "over" if shortfalls([limit], dict(reports)) else "within"
        wanted = (
            "" if limit.faster is None else f" ({limit.faster:g} wanted{'' if speed >= limit.faster else ': MISSED'})"
        )
        lines.append(
            f"- `{limit.model}` against `{limit.against}`: {speed:.1f} times the rows/s{wanted}, "
            f"{size:.2f} of the size, {_change(limit, loss)} ({kept} the limit of {limit.most})."
        )
    return lines


def _change(limit: Limit, loss: float) -> str:
    if loss == 0:
        return f"the same {limit.figure}"
    return f"{limit.figure} {'lower' if loss > 0 else 'higher'} by {abs(loss):.4f}"


def _distillation(family: Family, split: Split, files: Mapping[str, Path], tell: Tell) -> list[str]:
    """Every distilled network again, from several seeds, with and without its teacher."""
    rows, verdicts = [], []
    steps = [step for step in family.recipe.steps if isinstance(step, Distill)]
    for step in steps:
        taught = outputs(files[step.teacher], split.train.inputs)
        gains = []
        for seed in _SEEDS:
            tell(f"{step.makes}: seed {seed}, without and with its teacher")
            again = replace(step, training=replace(step.training, seed=seed))
            alone = train(split.train, Train(step.makes, again.network, again.training), _quiet)
            pupil = distill(split.train, taught, again, _quiet)
            found = [family.accuracy(predict(model, split.test.inputs), split.test) for model in (alone, pupil)]
            rows.append([step.makes, seed, *(r[f] for f in ("auc_roc", "average_precision") for r in found)])
            gains.append(found[1]["average_precision"] - found[0]["average_precision"])
        verdicts.append(_verdict(step.makes, gains))
    head = ["student", "seed", "AUC alone", "AUC distilled", "average precision alone", "average precision distilled"]
    return ["\n### Distillation\n", table(head, rows) + "\n".join(verdicts) + "\n"] if steps else []


def _verdict(name: str, gains: Sequence[float]) -> str:
    mean, spread = float(np.mean(gains)), float(np.std(gains, ddof=1))
    is_gain = mean > 2 * spread / len(gains) ** 0.5
    words = "a gain beyond chance" if is_gain else "no gain beyond chance"
    return f"`{name}`: distillation changes average precision by {mean:+.4f} (spread {spread:.4f} over seeds): {words}."


def _calibration(family: Family, repository: Path, files: Mapping[str, Path], test: Dataset) -> list[str]:
    """Reliability of what was calibrated: rows in ten equal groups by probability."""
    names = [step.makes for step in family.recipe.steps if isinstance(step, Calibrate) and step.makes in files]
    parts = ["### Calibration\n"] if names else []
    for name in names:
        report = _provenance(repository, name)["test"]
        parts.append(
            f"`{name}`: slope {report['calibration_slope']}, offset {report['calibration_offset']} of the logit, "
            f"fitted on rows of their own; ECE {report['calibration_error_before']} before, "
            f"{report['calibration_error']} after; Brier {report['brier_before']} before, {report['brier']} after.\n"
        )
        bins = metrics.reliability(outputs(files[name], test.inputs)[:, 0], test.targets[:, 0] > 0)
        rows = [[b.rows, f"{b.stated:.4f}", f"{b.true:.4f}"] for b in bins]
        parts.append(table(["rows", "mean probability", "share of positives"], rows))
    return parts


def _provenance(repository: Path, name: str) -> dict[str, Report]:
    document: dict[str, Report] = json.loads((repository / name / "PROVENANCE.json").read_text())
    return document


def _quiet(epoch: int, epochs: int, loss: float) -> None:
    """Seeds say enough."""
