from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from dit_bench.data.coco.segmentations import SegmentationTableBuilder, uncompressed_runs

SQUARE = [2.0, 3, 8, 3, 8, 9, 2, 9]


def table(*segmentations, size=(12, 15)):
    builder = SegmentationTableBuilder()
    for segmentation in segmentations:
        builder.add(segmentation, size)
    return builder.finish()


def random_masks():
    rng = np.random.default_rng(0)
    shapes = [(5, 7), (1, 9), (9, 1), (40, 33)]
    masks = [rng.random(shape) < share for shape in shapes for share in (0.0, 0.05, 0.5, 0.95, 1.1)]
    large = np.zeros((700, 900), bool)  # long runs, negative differences
    large[100:500, 200:640] = True
    large[200:300, 300:310] = False
    return [*masks, large]


def encode(mask) -> Any:
    return coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))


def test_compressed_rle_is_what_pycocotools_writes():
    for mask in random_masks():
        rle = encode(mask)
        runs = uncompressed_runs(rle["counts"].decode())
        uncompressed: Any = {"size": list(mask.shape), "counts": runs}
        assert coco_mask.frPyObjects(uncompressed, *mask.shape) == rle
        segmentation = {"size": list(mask.shape), "counts": rle["counts"].decode()}
        for given in (segmentation, segmentation | {"counts": runs}):
            np.testing.assert_array_equal(table(given, size=mask.shape).draw(0, mask.shape), mask)


def test_polygons_are_drawn_as_pycocotools_draws_them():
    rng = np.random.default_rng(0)
    objects = [[(rng.random(2 * n) * 14).round(2).tolist() for n in (3, 8)] for _ in range(20)]
    drawn = table(*objects)
    for k, polygons in enumerate(objects):
        rles: Any = coco_mask.frPyObjects(polygons, 12, 15)
        np.testing.assert_array_equal(drawn.draw(k, (12, 15)), coco_mask.decode(coco_mask.merge(rles)).astype(bool))
        assert drawn.as_coco(k, (12, 15)) == polygons


def test_kinds_stand_side_by_side():
    rle = {"size": [12, 15], "counts": [100, 20, 60]}
    mixed = table([SQUARE], None, rle, [], [SQUARE, [1, 1, 5, 5], SQUARE])
    assert len(mixed) == 5
    assert mixed.present.tolist() == [True, False, True, False, True]
    assert mixed.short_polygons == 1
    assert [mixed.draw(k, (12, 15)).sum() for k in range(5)] == [36, 0, 20, 0, 36]
    assert mixed.as_coco(2, (12, 15)) == rle
    assert mixed.as_coco(4, (12, 15)) == [SQUARE, SQUARE]


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ("text", "must be a list of polygons or RLE, not str"),
        ([SQUARE, 3], "not a list of numbers"),
        ([[*SQUARE, None, 1]], "not a list of numbers"),
        ([SQUARE[:7]], "polygon of 7 numbers"),
        ([[*SQUARE, float("nan"), 1.0]], "not finite"),
        ([[float("nan"), *SQUARE, 1.0]], "not finite"),
        ([[*SQUARE, float("inf"), 1.0]], "not finite"),
        ([[*SQUARE, 1e12, 1.0]], "far outside"),
        ({"counts": [180]}, "without 'size'"),
        ({"size": [12, 15]}, "without 'counts'"),
        ({"size": [15, 12], "counts": [180]}, r"size \[15, 12\], but the image has \[12, 15\]"),
        ({"size": [12, 15], "counts": [100, 20]}, "cover 120 of 180"),
        ({"size": [12, 15], "counts": [200, -20]}, "cover 180 of 180"),
        ({"size": [12, 15], "counts": [100.0, 80]}, "neither whole numbers nor text"),
        ({"size": [12, 15], "counts": ""}, "cover 0 of 180"),
        ({"size": [12, 15], "counts": "é"}, "damaged"),
        ({"size": [12, 15], "counts": "oooooooooooooooooooooooo"}, "damaged"),
        ({"size": [12, 15], "counts": "P"}, "damaged"),
    ],
)
def test_unsound_segmentations_are_refused(segmentation, message):
    with pytest.raises(ValueError, match=message):
        table(segmentation)


def test_rle_that_ends_too_early_is_refused_at_every_length():
    """pycocotools would fill the rest with whatever the memory held."""
    mask = np.zeros((12, 15), bool)
    mask[2:5, 3:7] = True
    counts = encode(mask)["counts"].decode()
    for end in range(len(counts)):
        with pytest.raises(ValueError, match="RLE whose"):
            table({"size": [12, 15], "counts": counts[:end]})
