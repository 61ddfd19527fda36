"""Both rules against their plain description, one reference at a time."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou

from dit_bench.models.detectors.anchors import AnchorGrid
from dit_bench.models.detectors.matching import IGNORED, NEGATIVE, match_atss, match_by_iou

Box = list[float]


def iou_of(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def plain_iou_match(
    boxes: list[Box], references: list[Box], positive: float, negative: float, min_positive: float, low_quality: bool
) -> list[int]:
    table = [[iou_of(box, reference) for reference in references] for box in boxes]
    matches = []
    for k in range(len(references)):
        column = [row[k] for row in table]
        best = max(column)
        matches.append(column.index(best) if best >= positive else NEGATIVE if best < negative else IGNORED)
    if low_quality:
        for number, row in enumerate(table):
            if max(row) >= min_positive:
                for k, value in enumerate(row):
                    if value == max(row):
                        matches[k] = number
    return matches


def plain_atss(boxes: list[Box], levels: list[list[Box]], topk: int) -> list[int]:
    anchors = [anchor for level in levels for anchor in level]
    claims: list[dict[int, float]] = [{} for _ in anchors]
    for number, box in enumerate(boxes):
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        candidates, start = [], 0
        for level in levels:
            centres = [((a[0] + a[2]) / 2, (a[1] + a[3]) / 2) for a in level]
            order = sorted(range(len(level)), key=lambda k, centres=centres: math.dist(centres[k], centre))
            candidates += [start + k for k in order[:topk]]
            start += len(level)
        overlaps = [iou_of(anchors[k], box) for k in candidates]
        spread = statistics.stdev(overlaps) if len(overlaps) > 1 else 0.0
        threshold = statistics.mean(overlaps) + spread
        for k, overlap in zip(candidates, overlaps, strict=True):
            x, y = (anchors[k][0] + anchors[k][2]) / 2, (anchors[k][1] + anchors[k][3]) / 2
            if overlap >= threshold and min(x - box[0], y - box[1], box[2] - x, box[3] - y) > 0.01:
                claims[k][number] = overlap
    return [max(claim, key=lambda number, claim=claim: claim[number]) if claim else NEGATIVE for claim in claims]


def random_boxes(number: int, side: float, seed: int, smallest: float = 6) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    sizes = smallest + torch.rand(number, 2, generator=generator) * side / 2
    corners = torch.rand(number, 2, generator=generator) * (side - sizes)
    return torch.cat([corners, corners + sizes], dim=1)


@pytest.mark.parametrize("low_quality", [True, False])
@pytest.mark.parametrize(("positive", "negative", "min_positive"), [(0.5, 0.4, 0.0), (0.7, 0.3, 0.3), (0.5, 0.5, 0.5)])
@pytest.mark.parametrize("seed", range(4))
def test_iou_rule(positive: float, negative: float, min_positive: float, low_quality: bool, seed: int) -> None:
    # Whole pixels: IoUs that are equal fractions are equal numbers in both precisions.
    grid = AnchorGrid([8, 16], octave_base_scale=2, ratios=(1.0, 4.0))
    references = torch.cat(grid([(10, 10), (5, 5)], "cpu"))
    boxes = torch.cat([random_boxes(6, 80, seed).round(), torch.tensor([[20.0, 20, 28, 28]])])
    settings = {"positive": positive, "negative": negative, "min_positive": min_positive, "low_quality": low_quality}
    found = match_by_iou(boxes, references, **settings)  # type: ignore[arg-type]
    assert found.dtype == torch.int64
    expected = plain_iou_match(boxes.tolist(), references.tolist(), positive, negative, min_positive, low_quality)
    assert found.tolist() == expected
    assert len({*expected} & {NEGATIVE, IGNORED}) == (1 if positive == negative else 2)
    assert max(expected) >= 0 or not low_quality


def test_all_references_that_tie_learn_the_object_and_the_last_object_wins() -> None:
    """torchvision keeps such a reference's own best object; mmdetection gives it the object that it is best for."""
    references = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10], [40, 0, 50, 10]])
    small_between = [8.0, 0, 12, 10]
    large = [0.0, 0, 11, 10]
    boxes = torch.tensor([large, small_between])
    found = match_by_iou(boxes, references, positive=0.5, negative=0.4, min_positive=0.0, low_quality=True)
    assert found.tolist() == [1, 1, NEGATIVE]
    theirs = Matcher(0.5, 0.4, allow_low_quality_matches=True)(box_iou(boxes, references))
    assert theirs.tolist() == [0, 1, NEGATIVE]
    picky = match_by_iou(boxes, references, positive=0.5, negative=0.4, min_positive=0.3, low_quality=True)
    assert picky.tolist() == [0, NEGATIVE, NEGATIVE]


def test_thresholds_belong_to_the_upper_side() -> None:
    """An IoU of exactly 0.5 is positive, of exactly 0.4 not negative."""
    references = torch.tensor([[0.0, 0, 10, 5], [0, 0, 10, 4], [0, 0, 10, 3]])
    boxes = torch.tensor([[0.0, 0, 10, 10]])
    found = match_by_iou(boxes, references, positive=0.5, negative=0.4, min_positive=0.0, low_quality=False)
    assert found.tolist() == [0, IGNORED, NEGATIVE]


def test_equals_torchvision_without_low_quality_matches() -> None:
    references = torch.cat(AnchorGrid([8, 16], octave_base_scale=3, ratios=(0.5, 1.0))([(12, 12), (6, 6)], "cpu"))
    boxes = random_boxes(9, 96, 11)
    found = match_by_iou(boxes, references, positive=0.5, negative=0.4, min_positive=0.0, low_quality=False)
    assert torch.equal(found, Matcher(0.5, 0.4)(box_iou(boxes, references)))


def test_an_object_that_touches_no_reference_is_nobodys() -> None:
    references = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10]])
    boxes = torch.tensor([[50.0, 50, 60, 60], [5, 5, 5, 5]])
    found = match_by_iou(boxes, references, positive=0.5, negative=0.4, min_positive=0.0, low_quality=True)
    assert found.tolist() == [NEGATIVE, NEGATIVE]


def test_no_objects_and_no_references() -> None:
    none, some = torch.zeros(0, 4), torch.tensor([[0.0, 0, 10, 10]])
    settings = {"positive": 0.5, "negative": 0.4, "min_positive": 0.0, "low_quality": True}
    assert match_by_iou(none, some, **settings).tolist() == [NEGATIVE]  # type: ignore[arg-type]
    assert match_by_iou(some, none, **settings).shape == (0,)  # type: ignore[arg-type]
    assert match_atss(none, [some, some]).tolist() == [NEGATIVE, NEGATIVE]
    assert match_atss(some, [none, none]).shape == (0,)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("grids", [[(12, 12), (6, 6), (3, 3), (2, 2), (1, 1)], [(2, 3), (1, 2)], [(1, 1)]])
def test_atss_rule(grids: list[tuple[int, int]], seed: int) -> None:
    """With levels of fewer cells than candidates, too, and with a single anchor in all."""
    strides = [8, 16, 32, 64, 128][: len(grids)]
    levels = AnchorGrid(strides, octave_base_scale=8)(grids, "cpu")
    # Coordinates at random, so that no two centres are equally near.
    boxes = random_boxes(8, grids[0][0] * 8 + 20, seed)
    found = match_atss(boxes, levels)
    assert found.dtype == torch.int64
    expected = plain_atss(boxes.double().tolist(), [level.double().tolist() for level in levels], topk=9)
    assert found.tolist() == expected
    if len(grids) == 5:
        assert len({*expected} - {NEGATIVE}) >= 5, "most objects are learnt by some anchor"


def test_atss_centres_must_lie_inside() -> None:
    """The nearest anchor of an object between two cells has its centre outside: nobody learns it."""
    levels = AnchorGrid([8], octave_base_scale=8)([(4, 4)], "cpu")
    between = torch.tensor([[9.0, 9, 15, 15]])
    assert (match_atss(between, levels) == NEGATIVE).all()
    barely = torch.tensor([[8.0 - 0.02, 8.0 - 0.02, 15, 15]])
    assert (match_atss(barely, levels, topk=4) >= 0).sum() == 1
    on_border = torch.tensor([[8.0 - 0.005, 8.0 - 0.005, 15, 15]])
    assert (match_atss(on_border, levels, topk=4) >= 0).sum() == 0


def test_atss_deviation_is_the_unbiased_one() -> None:
    """IoUs 0.879, 0.727, 0.559: mean 0.722 and unbiased deviation 0.160 make 0.882, the biased 0.131 would 0.852.

    With the object in the middle, 0.879 and twice 0.727 make 0.865.
    """
    levels = AnchorGrid([8], octave_base_scale=8)([(1, 3)], "cpu")
    assert match_atss(torch.tensor([[-30.0, -30, 30, 30]]), levels).tolist() == [NEGATIVE] * 3
    assert match_atss(torch.tensor([[-22.0, -30, 38, 30]]), levels).tolist() == [NEGATIVE, 0, NEGATIVE]


def test_atss_gives_a_contested_anchor_to_the_highest_iou() -> None:
    levels = AnchorGrid([8], octave_base_scale=8)([(9, 9)], "cpu")
    same_centre = torch.tensor([[8.0, 8, 56, 56], [0.5, 0.5, 63.5, 63.5], [12, 12, 52, 52]])
    matches = match_atss(same_centre, levels).view(9, 9)
    assert matches[4, 4] == 1
