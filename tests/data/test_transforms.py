import math
import pickle
import random

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from dit_bench.data.order import sample_generators
from dit_bench.data.transforms import (
    denormalise_images,
    evaluation_transform,
    normalise_images,
    shift_images,
    training_transform,
)
from dit_bench.errors import UsageError
from dit_bench.recipes.settings import AugmentSettings, DataSettings

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
DEIT = AugmentSettings(
    random_resized_crop=True, hflip_prob=0.5, rand_augment="rand-m9-mstd0.5-inc1", random_erasing_prob=0.25
)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_evaluation_resizes_the_short_side_and_crops_the_centre():
    picture, data = Image.fromarray(noise(90, 130)), DataSettings(image_size_px=56)
    tensor = evaluation_transform(data)(picture)
    short = math.floor(56 / 0.875)
    resized = np.asarray(picture.resize((int(short * 130 / 90), short), Image.Resampling.BICUBIC))
    top, left = round((short - 56) / 2), round((resized.shape[1] - 56) / 2)
    expected = (resized[top : top + 56, left : left + 56] / 255 - MEAN) / STD
    np.testing.assert_allclose(tensor.permute(1, 2, 0).numpy(), expected, atol=1e-5)


def test_a_crop_that_leaves_nothing_is_refused_with_the_settings():
    with pytest.raises(ValidationError, match="eval_crop_fraction"):
        DataSettings(eval_crop_fraction=0.0)


def test_normalise_and_back():
    images = noise(12, 10).reshape(2, 6, 10, 3)
    tensor = normalise_images(images)
    assert tensor.shape == (2, 3, 6, 10)
    np.testing.assert_allclose(tensor.permute(0, 2, 3, 1).numpy(), (images / 255 - MEAN) / STD, atol=1e-5)
    np.testing.assert_array_equal(denormalise_images(tensor), images)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, -1), (-3, 3), (5, 5)])
def test_shift_replicates_edges(down, right):
    image = noise(6, 6)
    padded = np.pad(image, ((5, 5), (5, 5), (0, 0)), mode="edge")
    expected = padded[5 - down : 11 - down, 5 - right : 11 - right]
    images, shifts = np.stack([image, noise(6, 6)[::-1]]), np.array([[down, right], [0, 0]])
    shifted = shift_images(images, shifts)
    np.testing.assert_array_equal(shifted[0], expected)
    np.testing.assert_array_equal(shifted[1], images[1])


def test_training_without_augmentation_is_the_evaluation_transform():
    picture, data = Image.fromarray(noise(40, 60)), DataSettings(image_size_px=24)
    plain = training_transform(data, AugmentSettings())(picture)
    torch.testing.assert_close(plain, evaluation_transform(data)(picture), rtol=0, atol=0)
    flipped = training_transform(data, AugmentSettings(hflip_prob=1.0))(picture)
    torch.testing.assert_close(flipped, plain.flip(2), rtol=0, atol=0)


def test_deit_augmentation_has_its_parts_in_order():
    steps = training_transform(DataSettings(image_size_px=224), DEIT).transforms  # type: ignore[attr-defined]
    names = [type(step).__name__ for step in steps if type(step).__name__ != "ColorJitter"]
    assert names == [
        "RandomResizedCropAndInterpolation",
        "RandomHorizontalFlip",
        "RandAugment",
        "MaybeToTensor",
        "Normalize",
        "RandomErasing",
    ]
    crop, erasing = steps[0], steps[-1]
    assert crop.scale == (0.08, 1.0)
    assert crop.ratio == (3 / 4, 4 / 3)
    assert crop.interpolation == "bicubic" or "bicubic" in str(crop.interpolation).lower()
    assert erasing.probability == 0.25
    assert erasing.per_pixel
    assert erasing.max_count == 1


def test_erased_pixels_are_noise():
    picture, data = Image.new("RGB", (32, 32), (9, 9, 9)), DataSettings(image_size_px=32)
    with sample_generators(0, 0, 0):
        erased = training_transform(data, AugmentSettings(random_erasing_prob=1.0))(picture)
    plain = evaluation_transform(data)(picture)
    changed = (erased != plain).any(dim=0)
    assert 0.01 < changed.float().mean() < 0.5
    assert len(erased[0][changed].unique()) > 0.9 * changed.sum()


def test_every_operation_of_randaugment_runs_at_every_magnitude():
    """Down to the black image that the strongest posterise asks for."""
    picture, data = Image.fromarray(noise(20, 20)), DataSettings(image_size_px=20)
    for text in ("rand-m9-mstd0.5-inc1", "rand-m9-mstd0.5"):
        steps = training_transform(data, AugmentSettings(rand_augment=text)).transforms  # type: ignore[attr-defined]
        (randaugment,) = [step for step in steps if type(step).__name__ == "RandAugment"]
        assert len(randaugment.ops) >= 14
        for operation in randaugment.ops:
            operation.prob, operation.magnitude_std = 1.0, 0.0
            for magnitude in range(11):
                operation.magnitude = magnitude
                image = operation(picture)
                assert image.size == (20, 20)
                if operation.name == "PosterizeIncreasing":
                    levels = {0: 16, 10: 1}.get(magnitude)
                    assert levels is None or len(np.unique(np.asarray(image))) == levels


@pytest.mark.parametrize("text", ["m9", "rand-m9-mstd", "rand-q9", "rand_m9", "rand-m9-inc2", ""])
def test_misspelt_randaugment_is_refused(text):
    with pytest.raises(UsageError, match=r"augment\.rand_augment"):
        training_transform(DataSettings(), AugmentSettings(rand_augment=text))


def test_transforms_travel_to_worker_processes():
    """Platforms that start workers afresh send them pickled."""
    data, picture = DataSettings(image_size_px=24), Image.fromarray(noise(30, 30))
    transform = training_transform(data, DEIT)
    with sample_generators(0, 0, 1):
        expected = transform(picture)
    with sample_generators(0, 0, 1):
        torch.testing.assert_close(pickle.loads(pickle.dumps(transform))(picture), expected, rtol=0, atol=0)


def test_generators_are_restored_after_an_error_too():
    random.seed(5)
    expected = random.random()
    random.seed(5)

    def fail():
        with sample_generators(0, 0, 0):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert random.random() == expected


def test_sample_generators_disturb_no_other_stream():
    def draw():
        return random.random(), random.gauss(0, 1), np.random.random(), torch.rand(1).item()

    def reset():
        random.seed(5)
        np.random.seed(5)
        torch.manual_seed(5)

    reset()
    expected = [draw(), draw()]
    reset()
    got = [draw()]
    with sample_generators(1, 2, 3):
        inside = draw()
    got.append(draw())
    assert got == expected
    with sample_generators(1, 2, 3):
        assert draw() == inside
    others = []
    for key in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        with sample_generators(*key):
            others.append(draw())
    assert len({inside, *others}) == 4
    reset()
    assert [draw(), draw()] == expected
