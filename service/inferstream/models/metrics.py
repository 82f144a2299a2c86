"""Figures of probabilities against what was true. Arrays are one-dimensional; `positive` is boolean."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Keys = npt.NDArray[np.int64]


def auc_roc(score: Scores, positive: Flags) -> float:
    """The chance that a random positive scores above a random negative; ties count half. NaN without both kinds."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    n, m = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m)) if n and m else float("nan")


def average_precision(score: Scores, positive: Flags) -> float:
    """Precision at each positive, in order of score, averaged. Equal scores share one threshold."""
    if not positive.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))  # last row of each threshold
    found = np.cumsum(positive[order])[ends]
    return float((np.diff(found, prepend=0) * (found / (ends + 1))).sum() / found[-1])


def brier(probability: Scores, positive: Flags) -> float:
    """Mean squared distance from the truth."""
    return float(np.mean((probability - positive) ** 2))


class Bin(NamedTuple):
    """Rows of similar probability: how many, what the model says, what was true."""

    rows: int
    stated: float
    true: float


def reliability(probability: Scores, positive: Flags, bins: int = 10) -> list[Bin]:
    """Equally filled bins, from the lowest probability to the highest."""
    groups = np.array_split(np.argsort(probability, kind="stable"), bins)
    return [
        Bin(group.size, float(probability[group].mean()), float(positive[group].mean()))
        for group in groups
        if group.size
    ]


def calibration_error(probability: Scores, positive: Flags) -> float:
    """Expected calibration error: the mean distance between stated and true, weighted by rows."""
    found = reliability(probability, positive)
    return sum(b.rows * abs(b.stated - b.true) for b in found) / sum(b.rows for b in found)


def card_precision(score: Scores, positive: Flags, card: Keys, day: Keys, k: int) -> float:
    """Of the k cards alerted each day, those by highest score, the share that was defrauded that day; mean over days.

    A card whose fraud an alert has uncovered is blocked, and counts no more on later days.
    """
    blocked: set[int] = set()
    found = []
    for today in np.unique(day):
        rows = np.flatnonzero(day == today)
        cards, inverse = np.unique(card[rows], return_inverse=True)
        highest = np.full(cards.size, -np.inf)
        np.maximum.at(highest, inverse, score[rows])
        defrauded = np.zeros(cards.size, np.bool_)
        np.logical_or.at(defrauded, inverse, positive[rows])
        highest[np.isin(cards, list(blocked))] = -np.inf
        alerted = np.argsort(-highest, kind="stable")[:k]
        alerted = alerted[np.isfinite(highest[alerted])]
        hits = alerted[defrauded[alerted]]
        blocked.update(cards[hits].tolist())
        found.append(hits.size / k)
    return float(np.mean(found))
