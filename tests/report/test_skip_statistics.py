"""Skip ratios from hand-made records and against a plain loop over images."""

import numpy as np
import pytest

from dit_bench.report.skip_statistics import skip_statistics


def test_by_hand() -> None:
    """Two scales of 4 and 1 tokens, one stage, three images; scale 1 is live in the first image only."""
    kept = np.array([[[4], [1]], [[2], [0]], [[0], [0]]], dtype=np.int32)
    live = np.array([[[True], [True]], [[True], [False]], [[True], [False]]])
    columns = np.array([[[True, False]], [[False, True]], [[False, True]]])
    found = skip_statistics(kept, np.array([4, 1]), live, columns, title="t")
    np.testing.assert_allclose(found.skip_ratio, [[0.5], [0.0]])
    np.testing.assert_allclose(found.skip_sd, [[0.5], [np.nan]])
    np.testing.assert_allclose(found.live, [[1.0], [1 / 3]])
    np.testing.assert_allclose(found.column_open, [[1 / 3, 2 / 3]])
    assert found.num_images == 3


def test_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    tokens = np.array([64, 16, 4])
    live = rng.random((20, 3, 2)) < 0.6
    live[:, 2, 1] = False
    kept = rng.integers(0, tokens[None, :, None] + 1, (20, 3, 2)) * live
    found = skip_statistics(kept, tokens, live, rng.random((20, 2, 3)) < 0.5, title="t")
    for i in range(3):
        for j in range(2):
            values = [1 - kept[n, i, j] / tokens[i] for n in range(20) if live[n, i, j]]
            expected = (np.mean(values), np.std(values, ddof=1)) if values else (np.nan, np.nan)
            assert (found.skip_ratio[i, j], found.skip_sd[i, j]) == pytest.approx(expected, nan_ok=True)


def test_tokens_on_a_dead_scale_are_refused() -> None:
    kept, live = np.ones((1, 2, 1), int), np.array([[[True], [False]]])
    with pytest.raises(AssertionError, match="not live"):
        skip_statistics(kept, np.array([4, 1]), live, np.ones((1, 1, 2), bool), title="t")
