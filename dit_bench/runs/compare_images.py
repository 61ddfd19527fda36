"""Two runs image by image: which predictions, costs and routes differ."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dit_bench.runs.image_records import ImageRecords


@dataclass(frozen=True)
class PredictionDiff:
    """What two classifiers said about the same images, and how often either was right alone."""

    changed: int
    """Images that the two runs put into different classes."""
    labels_changed: int
    """Images whose true class is another: the data are not the same."""
    both_right: int
    only_a_right: int
    only_b_right: int
    neither_right: int
    mcnemar_p: float
    """Two-sided p of McNemar's exact test that both are right equally often."""


@dataclass(frozen=True)
class ImageDiff:
    """The images that two runs have in common, by their number in the data set."""

    common: int
    only_a: int
    """Images that only the first run has."""
    only_b: int
    macs_changed: int
    """Images that cost another number of multiply-accumulates."""
    macs_mean_difference: float
    """Second minus first, mean over the common images."""
    macs_most: int
    """The largest difference of one image, without its sign."""
    routes_changed: int | None
    """Images with another number of kept tokens, or other open columns; None where the grids differ."""
    predictions: PredictionDiff | None
    """Of classification only."""
    listed: tuple[dict[str, Any], ...]
    """Every image in which something differs: other predictions first, then by the difference of MACs."""

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return bool(self.only_a or self.only_b or self.listed or self.routes_changed is None)


def compare_images(a: ImageRecords, b: ImageRecords) -> ImageDiff:
    """Compare the images that both have, by number; MACs are of one image each."""
    _, at_a, at_b = np.intersect1d(a.index, b.index, assume_unique=True, return_indices=True)
    macs = b.macs[at_b] - a.macs[at_a]
    same_grid = a.kept.shape[1:] == b.kept.shape[1:]
    routes = _routes_changed(a, b, at_a, at_b) if same_grid else np.zeros(len(at_a), np.bool_)
    changed, predictions = np.zeros(len(at_a), np.bool_), None
    if a.label is not None and b.label is not None and a.prediction is not None and b.prediction is not None:
        label_a, label_b, said_a, said_b = (
            *(a.label[at_a], b.label[at_b]),
            *(a.prediction[at_a], b.prediction[at_b]),
        )
        changed = (said_a != said_b) | (label_a != label_b)
        predictions = _predictions(said_a, said_b, label_a, label_b)
    top5 = a.top5_hit is not None and b.top5_hit is not None and (a.top5_hit[at_a] != b.top5_hit[at_b])
    order = np.lexsort((a.index[at_a], -np.abs(macs), ~changed))
    different = changed | (macs != 0) | routes | top5
    return ImageDiff(
        common=len(at_a),
        only_a=len(a.index) - len(at_a),
        only_b=len(b.index) - len(at_b),
        macs_changed=int(np.count_nonzero(macs)),
        macs_mean_difference=float(macs.mean()) if len(macs) else 0.0,
        macs_most=int(np.abs(macs).max()) if len(macs) else 0,
        routes_changed=int(routes.sum()) if same_grid else None,
        predictions=predictions,
        listed=tuple(_entry(a, b, int(at_a[k]), int(at_b[k])) for k in order if different[k]),
    )


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Two-sided p of McNemar's exact test: the smaller of two discordant counts, binomial with probability 1/2."""
    total, fewer = only_a + only_b, min(only_a, only_b)
    term, tail = 1, 0
    for k in range(fewer + 1):
        tail += term
        term = term * (total - k) // (k + 1)
    return 1.0 if only_a == only_b else min(1.0, 2 * tail / (1 << total))


def _predictions(
    said_a: NDArray[np.int64], said_b: NDArray[np.int64], label_a: NDArray[np.int64], label_b: NDArray[np.int64]
) -> PredictionDiff:
    right_a, right_b = said_a == label_a, said_b == label_b
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return PredictionDiff(
        changed=int((said_a != said_b).sum()),
        labels_changed=int((label_a != label_b).sum()),
        both_right=int((right_a & right_b).sum()),
        only_a_right=only_a,
        only_b_right=only_b,
        neither_right=int((~right_a & ~right_b).sum()),
        mcnemar_p=mcnemar_p(only_a, only_b),
    )


def _routes_changed(
    a: ImageRecords, b: ImageRecords, at_a: NDArray[np.intp], at_b: NDArray[np.intp]
) -> NDArray[np.bool_]:
    pairs = ((a.kept, b.kept), (a.columns, b.columns), (a.live, b.live))
    count = len(at_a)
    changed = [(x[at_a] != y[at_b]).reshape(count, math.prod(x.shape[1:])).any(axis=1) for x, y in pairs]
    return np.logical_or.reduce(changed)


def _entry(a: ImageRecords, b: ImageRecords, at_a: int, at_b: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"index": int(a.index[at_a])}
    if a.label is not None and a.prediction is not None and b.prediction is not None:
        entry |= {"label": int(a.label[at_a]), "prediction_a": int(a.prediction[at_a])}
        entry |= {"prediction_b": int(b.prediction[at_b])}
    return entry | {"macs_a": int(a.macs[at_a]), "macs_b": int(b.macs[at_b])}
