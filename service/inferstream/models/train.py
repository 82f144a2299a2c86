"""Training and distillation: data and a description in, a trained network out. Seeded."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch

from inferstream.models.architectures import Learner, make
from inferstream.models.family import Array, Dataset
from inferstream.models.recipes import Distill, Train, Training

Progress = Callable[[int, int, float], None]
"""Told after each epoch: which, of how many, mean loss."""

Net = TypeVar("Net", bound=Learner)


def train(data: Dataset, step: Train, progress: Progress) -> Learner:
    """Fit to the targets. Every row has its natural weight, so the probabilities come out calibrated."""
    torch.manual_seed(step.training.seed)
    return fit(make(step.network, data), data.inputs, data.targets, step.training, progress)


def distill(data: Dataset, taught: Array, step: Distill, progress: Progress) -> Learner:
    """Fit to a mixture of the targets and what a teacher makes of the rows, `taught`."""
    mixture = step.alpha * data.targets + (1 - step.alpha) * taught
    return train(data._replace(targets=mixture), Train(step.makes, step.network, step.training), progress)


def fit(model: Net, inputs: Array, targets: Array, training: Training, progress: Progress) -> Net:
    """Train the model further, in place, and return it."""
    torch.set_num_threads(1)  # the order of additions, and so the result, must not depend on the machine's cores
    order = np.random.default_rng(training.seed)
    given, wanted = torch.from_numpy(inputs), torch.from_numpy(targets.astype(np.float32, copy=False))
    steps = -(-len(inputs) // training.batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=training.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, training.learning_rate, total_steps=training.epochs * steps
    )
    model.train()
    for epoch in range(training.epochs):
        total = 0.0
        shuffled = torch.from_numpy(order.permutation(len(inputs)))
        for rows in shuffled.split(training.batch_size):
            loss = model.loss(given[rows], wanted[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        progress(epoch + 1, training.epochs, total / steps)
    return model.eval()


def predict(model: Learner, inputs: Array, rows_at_once: int = 65_536) -> Array:
    """What the model makes of the rows: its first output."""
    with torch.no_grad():
        parts = [model(part) for part in torch.from_numpy(inputs).split(rows_at_once)]
    return np.concatenate([(part[0] if isinstance(part, tuple) else part).numpy() for part in parts])
