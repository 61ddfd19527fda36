import pickle

import numpy as np
import pytest
from PIL import Image

from dit_bench.data.images import read_image
from dit_bench.data.segmentation.ade_classes import ADE_CLASS_NAMES
from dit_bench.data.segmentation.ade_set import AdeSet
from dit_bench.errors import DataError, UsageError

NAMES = ("sky", "road", "car", "tree")


def test_a_split_is_read_in_the_order_of_its_names(small):
    val = AdeSet(small, "val", class_names=NAMES)
    assert [val.name(k) for k in range(len(val))] == ["ADE_val_00000001", "ADE_val_00000002", "ADE_val_00000003"]
    assert [val.size(k) for k in range(len(val))] == [(30, 50), (50, 30), (64, 64)]
    assert (val.num_classes, val.class_names) == (4, NAMES)
    for k in range(len(val)):
        image, labels = val.read(k), val.labels(k)
        assert (image.dtype, labels.dtype) == (np.uint8, np.uint8)
        assert image.shape == (*val.size(k), 3)
        assert labels.shape == val.size(k)
        np.testing.assert_array_equal(image, read_image(val.path(k)))
    assert str(val.summary) == "3 images; left out: nothing"


@pytest.mark.parametrize("zero_label", ["ignore", "class"])
def test_labels_move_exactly_once(small, zero_label):
    names = NAMES if zero_label == "ignore" else ("other", *NAMES)
    train = AdeSet(small, "train", class_names=names, zero_label=zero_label)
    seen = set()
    for k in range(len(train)):
        values = np.array(Image.open(train.label_path(k)))
        for _ in range(2):  # reading twice changes nothing
            labels = train.labels(k)
            if zero_label == "ignore":
                np.testing.assert_array_equal(labels == 255, values == 0)
                np.testing.assert_array_equal(labels[values > 0].astype(int), values[values > 0].astype(int) - 1)
            else:
                np.testing.assert_array_equal(labels, values)
        seen |= set(np.unique(labels).tolist())
    assert seen == ({0, 1, 2, 3, 255} if zero_label == "ignore" else {0, 1, 2, 3, 4})


def test_the_benchmarks_own_classes_are_the_default(small):
    assert AdeSet(small, "val").class_names == ADE_CLASS_NAMES
    with_zero = AdeSet(small, "val", zero_label="class")
    assert with_zero.class_names == ("other", *ADE_CLASS_NAMES)
    assert with_zero.num_classes == 151


def test_the_folder_above_will_do(small):
    assert AdeSet(small.parent, "val").manifest_sha256() == AdeSet(small, "val").manifest_sha256()


def test_tuning_images_are_taken_from_training(small):
    whole, train = AdeSet(small, "train"), AdeSet(small, "train", tune_images=3)
    tune = AdeSet(small, "tune", tune_images=3)
    names = [[dataset.name(k) for k in range(len(dataset))] for dataset in (whole, train, tune)]
    assert [int(name[-2:]) for name in names[0]] == list(range(1, 12))
    assert [int(name[-2:]) for name in names[2]] == [1, 4, 8]  # 1 + floor(11 k / 3)
    assert sorted(names[1] + names[2]) == names[0]
    assert str(train.summary) == "8 images; left out: 3 images of another split"
    assert str(tune.summary) == "3 images; left out: 8 images of another split"
    for dataset in (train, tune):
        for k in range(len(dataset)):
            twin = next(j for j in range(len(whole)) if whole.name(j) == dataset.name(k))
            assert dataset.size(k) == whole.size(twin)
            np.testing.assert_array_equal(dataset.labels(k), whole.labels(twin))
    assert len({dataset.manifest_sha256() for dataset in (whole, train, tune)}) == 3
    with pytest.raises(DataError, match=r"training holds 11 images, too few to set data\.tune_images=11 aside"):
        AdeSet(small, "tune", tune_images=11)


def test_manifest_knows_pictures_and_label_images(small):
    first = AdeSet(small, "val").manifest_sha256()
    assert AdeSet(small, "val").manifest_sha256() == first
    path = AdeSet(small, "val").label_path(1)
    Image.fromarray(np.zeros((50, 30), np.uint8)).save(path)
    second = AdeSet(small, "val").manifest_sha256()
    (small / "images" / "validation" / "ADE_val_00000001.jpg").rename(small / "images" / "validation" / "a.jpg")
    (small / "annotations" / "validation" / "ADE_val_00000001.png").rename(
        small / "annotations" / "validation" / "a.png"
    )
    assert len({first, second, AdeSet(small, "val").manifest_sha256()}) == 3


def test_worker_processes_get_the_same_set(small):
    train = AdeSet(small, "train", class_names=NAMES)
    sent = pickle.loads(pickle.dumps(train))
    assert sent.manifest_sha256() == train.manifest_sha256()
    np.testing.assert_array_equal(sent.labels(5), train.labels(5))


# what a user can get wrong


@pytest.mark.parametrize("names", [("sky", "sky", "road"), ("sky", "", "road")])
def test_useless_names_are_refused(small, names):
    with pytest.raises(UsageError, match=r"segmentation\.classes has"):
        AdeSet(small, "val", class_names=names)


def test_values_outside_the_classes_are_named(small):
    val = AdeSet(small, "val", class_names=NAMES[:3])
    values = np.array(Image.open(val.label_path(2)))
    assert (values == 4).any()
    with pytest.raises(DataError) as caught:
        val.labels(2)
    message = str(caught.value)
    assert f"label image {val.label_path(2)}: {(values == 4).sum()} pixels have the value 4;" in message
    assert "3 classes allow 0 … 3 and 255" in message
    assert "segmentation.classes" in message
    as_class = AdeSet(small, "val", class_names=NAMES, zero_label="class")
    with pytest.raises(DataError, match=r"4 classes allow 0 … 3 and 255"):
        as_class.labels(2)


def test_label_images_of_another_size_are_found_at_the_start(small):
    path = small / "annotations" / "validation" / "ADE_val_00000002.png"
    Image.new("L", (50, 30)).save(path)
    with pytest.raises(
        DataError, match=r"ADE_val_00000002\.png is 50x30 pixels, its image ADE_val_00000002\.jpg 30x50"
    ):
        AdeSet(small, "val")
    AdeSet(small, "train")


def test_coloured_label_images_are_found_at_the_start(small):
    path = small / "annotations" / "validation" / "ADE_val_00000002.png"
    Image.new("RGB", (30, 50)).save(path)
    with pytest.raises(DataError, match=r"ADE_val_00000002\.png holds colours"):
        AdeSet(small, "val")


def test_palettes_are_read_as_numbers(small):
    path = small / "annotations" / "validation" / "ADE_val_00000002.png"
    before = AdeSet(small, "val", class_names=NAMES).labels(1)
    image = Image.open(path)
    image.putpalette([7 * k % 256 for k in range(768)])
    image.save(path)
    np.testing.assert_array_equal(AdeSet(small, "val", class_names=NAMES).labels(1), before)


@pytest.mark.parametrize("content", [b"", b"no picture at all, but some text"])
def test_pictures_without_a_header_are_found_at_the_start(small, content):
    path = small / "images" / "validation" / "ADE_val_00000003.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read image .*ADE_val_00000003\.jpg"):
        AdeSet(small, "val")


def test_truncated_files_stop_at_their_path(small):
    val = AdeSet(small, "val")
    for path, read in ((val.path(2), val.read), (val.label_path(2), val.labels)):
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(DataError, match="cannot read") as caught:
            read(2)
        assert str(path) in str(caught.value)
    AdeSet(small, "val")  # the headers are whole


def test_a_file_that_changes_its_size_is_noticed(small):
    val = AdeSet(small, "val")
    Image.new("RGB", (64, 32)).save(val.path(2))
    with pytest.raises(DataError, match=r"ADE_val_00000003\.jpg is 64x32 pixels, and was 64x64"):
        val.read(2)
