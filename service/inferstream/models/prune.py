"""Structured pruning: whole units leave, so the model is smaller and quicker wherever it runs."""

import copy

import torch
import torch_pruning

from inferstream.models.architectures import Classifier
from inferstream.models.family import Dataset
from inferstream.models.recipes import Prune
from inferstream.models.train import Progress, fit


def prune(data: Dataset, source: Classifier, step: Prune, progress: Progress) -> Classifier:
    """A smaller copy, fitted again after the cut. The output layer keeps its width."""
    model = copy.deepcopy(source)
    torch_pruning.pruner.MagnitudePruner(
        model,
        torch.from_numpy(data.inputs[:2]),
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=step.share,
        ignored_layers=[model.last],
    ).step()
    return fit(model, data.inputs, data.targets, step.training, progress)
