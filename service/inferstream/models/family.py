"""A family: a task's models, what they are made from, and what makes one of them good."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from inferstream.errors import InferstreamError
from inferstream.models.recipes import Recipe
from inferstream.tasks import Task

Array = npt.NDArray[Any]
Report = dict[str, float]
Tell = Callable[[str], None]
"""Told a line of progress."""


class DataError(InferstreamError):
    """A data file cannot be used; says which column, what is wrong and what is wanted."""

    exit_code = 2


class Dataset(NamedTuple):
    """Rows of the model's one input and what should come out; `keys` are further columns that a metric needs."""

    inputs: Array
    targets: Array
    keys: Mapping[str, Array]


class Split(NamedTuple):
    """Rows to learn from, rows to calibrate on, rows to test on; and a description that goes into the provenance."""

    train: Dataset
    calibrate: Dataset
    test: Dataset
    described: Mapping[str, Any]


@dataclass(frozen=True)
class Stepwise:
    """For models that go step by step, each on the state the one before left: instead of what is done with others."""

    export: Callable[[Any, Path, int], None]
    """Write a trained network to a file, in this opset."""
    outputs: Callable[[Path, Array], Array]
    """What the file makes of the rows, all steps of each."""
    timings: Callable[[Mapping[str, Path]], Mapping[str, Report]]
    """Of a step, by model."""
    results: Callable[[Path, Tell], str]
    """The tables of the report, measured on a repository."""


@dataclass(frozen=True)
class Family:
    """What the builder needs to know of a kind of inference."""

    recipe: Recipe
    task: type[Task]
    """Its tensors are the models' inputs and outputs."""
    simulated: Callable[[Tell], Split]
    """The data the shipped models are made from."""
    accuracy: Callable[[Array, Dataset], Report]
    """Figures of a model's output on rows."""
    figures: Mapping[str, str]
    """Of these figures, those worth a column in a table, with its heading."""
    about: str = ""
    """What a reader of the report should know."""
    own: Callable[[Path, Tell], Split] | None = None
    """The data of a file, for a family that can learn from one's own. Raises DataError."""
    columns: tuple[str, ...] = ()
    """Names of the input's columns, for the provenance."""
    max_batch_size: int = 1_024
    rows_to_quantize: Callable[[Dataset, int], Array] = lambda data, rows: data.inputs[:rows]
    """Representative inputs: INT8 takes its ranges from them."""

    stepwise: Stepwise | None = None

    @property
    def input(self) -> str:
        return self.task.inputs[0].name

    @property
    def output(self) -> str:
        return self.task.outputs[0].name

    @property
    def outputs(self) -> tuple[str, ...]:
        """All; accuracy is of the first."""
        return tuple(spec.name for spec in self.task.outputs)

    @property
    def free_axes(self) -> tuple[int, ...]:
        """Axes of the input, rows aside, that may have any size."""
        return tuple(axis for axis, size in enumerate(self.task.inputs[0].shape, start=1) if size == -1)
