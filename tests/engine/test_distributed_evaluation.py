"""Several processes evaluate as one does: every image once, the same figures to the digit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dit_bench.data.order import share_rows
from dit_bench.errors import UsageError
from dit_bench.recipes.settings import DataSettings, RunSettings
from tests.engine.conftest import tiny_settings
from tests.engine.several import together
from tests.engine.several_work import evaluate
from tests.engine.test_detection import detection_settings
from tests.engine.test_segmentation import segmentation_settings

DATA = DataSettings(train_images=20, tune_images=8, val_images=7, min_scale=0.4, clutter=0)


@pytest.mark.parametrize("batch_size", [2, 10])
@pytest.mark.parametrize(
    "settings",
    [tiny_settings(), detection_settings("pvt_v2_nano", "mask_rcnn"), segmentation_settings(segmenter="trans2seg")],
    ids=["classification", "detection", "segmentation"],
)
def test_two_processes_find_what_one_finds(settings: RunSettings, batch_size: int, scene_cache: Path) -> None:
    """Seven images, in four batches or in one, of which the second process has none."""
    settings = settings.model_copy(update={"data": DATA})
    (expected,) = together(1, evaluate, settings, str(scene_cache), batch_size)
    found = together(2, evaluate, settings, str(scene_cache), batch_size)
    for evaluation in (expected, *found):
        assert evaluation.metrics.pop("eval_seconds") > 0
    for evaluation in found:
        assert evaluation.metrics == expected.metrics
        assert evaluation.kept_ratio == expected.kept_ratio
        assert evaluation.num_images == 7
        _same_arrays(evaluation.records, expected.records)
        for name in ("results", "counts"):
            if hasattr(expected, name):
                _same_arrays(getattr(evaluation, name), getattr(expected, name))


def _same_arrays(first: object, second: object) -> None:
    """Equal to the last bit, arrays in objects, lists and dictionaries."""
    assert type(first) is type(second)
    if isinstance(first, np.ndarray):
        np.testing.assert_array_equal(first, second)  # type: ignore[arg-type]
    elif isinstance(first, dict) and isinstance(second, dict):
        assert first.keys() == second.keys()
        for name in first:
            _same_arrays(first[name], second[name])
    elif isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            _same_arrays(one, other)
    elif hasattr(first, "__dict__"):
        _same_arrays(vars(first), vars(second))
    else:
        assert first == second


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("count", "of"), [(10, 1), (10, 2), (10, 4), (12, 5)])
def test_shares_are_all_places_once(count: int, of: int, mirrored: bool) -> None:
    shares = [share_rows(count, number, of, mirrored=mirrored) for number in range(of)]
    assert sorted(np.concatenate(shares).tolist()) == list(range(count))
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= (2 if mirrored else 1)
    for share in shares:
        assert (np.diff(share) > 0).all()
        if mirrored:
            assert np.array_equal(count - 1 - share[::-1], share)


def test_an_empty_share_is_refused() -> None:
    with pytest.raises(UsageError, match="a batch of 2 pairs of images that are mixed cannot be shared out among 3"):
        share_rows(4, 0, 3, mirrored=True)
