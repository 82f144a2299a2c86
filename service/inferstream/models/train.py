"""Training and distillation: data and a network's description in, a trained network out. Seeded."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from inferstream.models.fraud_data import Dataset
from inferstream.models.network import Classifier
from inferstream.models.recipes import Network

Progress = Callable[[int, int, float], None]
"""Told after each epoch: which, of how many, mean loss."""


def train(data: Dataset, network: Network, progress: Progress) -> Classifier:
    """Fit to the labels. Every row has its natural weight, so the probabilities come out calibrated."""
    return _fit(data, torch.from_numpy(data.labels)[:, None], network, progress)


def distill(data: Dataset, teacher: Classifier, network: Network, alpha: float, progress: Progress) -> Classifier:
    """Fit to a mixture: `alpha` of the labels and the rest of what the teacher makes of each row."""
    with torch.no_grad():
        taught = teacher(torch.from_numpy(data.features))
    return _fit(data, alpha * torch.from_numpy(data.labels)[:, None] + (1 - alpha) * taught, network, progress)


def _fit(data: Dataset, targets: torch.Tensor, network: Network, progress: Progress) -> Classifier:
    torch.manual_seed(network.seed)
    torch.set_num_threads(1)  # the order of additions, and so the result, must not depend on the machine's cores
    order = np.random.default_rng(network.seed)
    mean, deviation = data.features.mean(axis=0), data.features.std(axis=0)
    model = Classifier(mean, (1 / np.maximum(deviation, 1e-3)).astype(np.float32), network.hidden)
    inputs = torch.from_numpy(data.features)
    steps = -(-len(inputs) // network.batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=network.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, network.learning_rate, total_steps=network.epochs * steps)
    for epoch in range(network.epochs):
        total = 0.0
        shuffled = torch.from_numpy(order.permutation(len(inputs)))
        for rows in shuffled.split(network.batch_size):
            loss = binary_cross_entropy_with_logits(model.logits(inputs[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        progress(epoch + 1, network.epochs, total / steps)
    return model.eval()
