"""The network that goes on with a text: a recurrent layer over characters. It is served one step at a time."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from inferstream.models.architectures.learner import Learner


class LanguageModel(Learner):
    """Characters by number [rows, steps] -> logits of the character after each, [rows, steps, alphabet]."""

    def __init__(self, alphabet: int, embedding: int, units: int) -> None:
        super().__init__()
        self.units = units
        self.embedding = nn.Embedding(alphabet, embedding)
        self.recurrent = nn.GRU(embedding, units, batch_first=True)
        self.last = nn.Linear(units, alphabet)

    def loss(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Against the characters that follow, [rows, steps]."""
        return cross_entropy(self(inputs).flatten(0, 1), targets.long().flatten())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        states, _ = self.recurrent(self.embedding(inputs))
        logits: torch.Tensor = self.last(states)
        return logits


class Step(nn.Module):
    """A step of it: character [rows] and state [rows, units] -> logits [rows, alphabet] and the state after it."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, token: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        model = self.model
        _, after = model.recurrent(model.embedding(token)[:, None], state[None])
        return model.last(after[0]), after[0]
