import numpy as np
import pytest

from dit_bench.data.scenes.multi_scene_set import load_multi_scenes
from dit_bench.data.segmentation.scene_segmentation_set import SceneSegmentationSet
from dit_bench.recipes.settings import DataSettings


@pytest.fixture
def scenes(tmp_path):
    return load_multi_scenes("val", DataSettings(val_images=5, image_size_px=48), tmp_path)


@pytest.mark.parametrize("zero_label", ["ignore", "class"])
def test_labels_are_those_of_the_instances(scenes, zero_label):
    dataset = SceneSegmentationSet(scenes, zero_label)
    assert len(dataset) == dataset.summary.images == 5
    digits = [f"digit_{k}" for k in range(10)]
    assert dataset.class_names == (tuple(digits) if zero_label == "ignore" else ("background", *digits))
    assert dataset.num_classes == len(dataset.class_names)
    for k in range(5):
        expected = np.full((48, 48), 255 if zero_label == "ignore" else 0)
        instances = scenes.instances(k)
        for label, mask in zip(instances.classes, instances.masks, strict=True):
            expected[mask] = dataset.class_names.index(f"digit_{label}")
        labels = dataset.labels(k)
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, expected)
        np.testing.assert_array_equal(dataset.read(k), scenes.images[k])
        assert dataset.size(k) == (48, 48)
    assert len({dataset.name(k) for k in range(5)}) == 5
    assert dataset.manifest_sha256() == scenes.manifest_sha256()
