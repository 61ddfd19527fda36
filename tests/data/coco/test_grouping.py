import numpy as np
import pytest

from dit_bench.data.coco.coco_set import CocoSet
from dit_bench.data.coco.grouping import (
    detection_steps_per_epoch,
    epoch_batches,
    evaluation_groups,
    is_wide,
    padded_size,
)
from dit_bench.data.coco.transforms import resized_size
from dit_bench.errors import UsageError


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([(800, 1067)], (800, 1088)), ([(800, 1333)], (800, 1344)), ([(1, 1)], (32, 32)), ([(33, 64), (64, 1)], (64, 64))],
)
def test_padded_sides_are_multiples_of_32(sizes, expected):
    assert padded_size(sizes) == expected


def test_square_images_count_as_high(many, monkeypatch):
    train = CocoSet(many, "train", training=True)
    wide = is_wide(train)
    assert wide.sum() == 13
    assert [bool(flag) for flag in wide] == [train.read(k).shape[1] > train.read(k).shape[0] for k in range(19)]
    monkeypatch.setattr(train, "size", lambda _: (50, 50))
    assert not is_wide(train).any()


@pytest.mark.parametrize("batch_size", [1, 2, 4, 5, 6, 19])
def test_batches_hold_one_group_each_and_every_image(many, batch_size):
    train = CocoSet(many, "train", training=True)
    wide = is_wide(train)
    batches = epoch_batches(wide, batch_size, seed=0, epoch=3)
    assert batches.shape == (detection_steps_per_epoch(train, batch_size), batch_size)
    assert detection_steps_per_epoch(train, batch_size) == -(-13 // batch_size) + -(-6 // batch_size)
    for batch in batches:
        assert len(set(wide[batch])) == 1
    counts = np.bincount(batches.ravel(), minlength=19)
    assert counts.min() >= 1
    for group in (wide, ~wide):
        assert counts[group].max() - counts[group].min() <= 1


def test_order_depends_on_seed_and_epoch_alone():
    wide = np.arange(300) % 3 == 0
    one = epoch_batches(wide, 4, seed=0, epoch=0)
    np.testing.assert_array_equal(one, epoch_batches(wide, 4, seed=0, epoch=0))
    assert (one != epoch_batches(wide, 4, seed=0, epoch=1)).any()
    assert (one != epoch_batches(wide, 4, seed=1, epoch=0)).any()
    kinds = wide[one[:, 0]]
    assert 10 < np.abs(np.diff(kinds.astype(int))).sum() < 50  # batches of the two groups are mixed
    together = {frozenset(batch.tolist()) for batch in one}
    assert not together & {frozenset(batch.tolist()) for batch in epoch_batches(wide, 4, seed=0, epoch=1)}


@pytest.mark.parametrize("shape", [True, False])
def test_one_group_alone(shape):
    batches = epoch_batches(np.full(10, shape), 4, seed=0, epoch=0)
    assert batches.shape == (3, 4)
    assert set(batches.ravel()) == set(range(10))


def test_batch_larger_than_the_set_is_refused(many):
    with pytest.raises(UsageError, match=r"optimiser\.batch_size=20 .* 19 images"):
        detection_steps_per_epoch(CocoSet(many, "train", training=True), 20)


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_evaluation_groups_share_a_padded_size(many, batch_size):
    dataset = CocoSet(many, "train", training=False)
    sizes = [padded_size([resized_size(dataset.size(k), 100, 150)]) for k in range(len(dataset))]
    groups = evaluation_groups(sizes, batch_size)
    assert sorted(k for group in groups for k in group) == list(range(19))
    areas = []
    for group in groups:
        assert 1 <= len(group) <= batch_size
        padded = {padded_size([resized_size(dataset.size(k), 100, 150)]) for k in group}
        assert len(padded) == 1
        areas.append(np.prod(next(iter(padded))))
    assert areas == sorted(areas, reverse=True)
    assert len(set(areas)) > 1


def test_large_images_come_in_smaller_batches():
    small, large = (224, 224), (800, 1344)
    groups = evaluation_groups([small] * 150 + [large] * 9, 100)
    assert [len(group) for group in groups] == [4, 4, 1, 100, 50]
    assert [len(group) for group in evaluation_groups([(4000, 4000)] * 2, 100)] == [1, 1]
