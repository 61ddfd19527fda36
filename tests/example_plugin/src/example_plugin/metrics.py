"""Whether a classifier is as sure as it is right."""

from __future__ import annotations

import numpy as np

BINS = 10


def calibration(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Expected calibration error over ten equal bins of confidence, and the mean confidence, in percent.

    Takes logits float32 (n, K) and labels int64 (n,).
    """
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [abs(confidence[bins == k].sum() - right[bins == k].sum()) for k in range(BINS)]
    return {"ece_percent": 100 * sum(gaps) / len(labels), "confidence_percent": 100 * confidence.mean()}
