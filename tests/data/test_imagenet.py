import hashlib

import numpy as np
import pytest
from PIL import Image

from dit_bench.data.imagenet import ImageFolderSet
from dit_bench.data.images import read_image
from dit_bench.errors import DataError


def picture(value: int) -> Image.Image:
    return Image.new("RGB", (20, 12), (value, 0, 255 - value))


def add_class(folder, count, suffix=".JPEG", start=0):
    folder.mkdir(parents=True)
    for k in range(count):
        picture(start + k).save(folder / f"{folder.name}_{k:03d}{suffix}")


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "data"
    for name, count in (("n02", 41), ("n01", 3)):
        add_class(root / "train" / name, count)
        add_class(root / "val" / name, 2)
    return root


def test_classes_are_numbered_by_sorted_folder_name(root):
    (root / "val" / "n01" / ".hidden.JPEG").write_bytes(b"")
    (root / "val" / "n01" / "notes.txt").write_text("no image")
    (root / "val" / ".DS_Store").write_text("")
    val = ImageFolderSet(root, "val")
    assert val.class_names == ("n01", "n02")
    assert val.num_classes == 2
    assert val.labels.tolist() == [0, 0, 1, 1]
    assert val.files[0] == "val/n01/n01_000.JPEG"
    assert len(val) == 4


def test_order_is_that_of_the_names_not_of_the_disk(tmp_path):
    names = ["n07", "n02", "n09", "n01", "n08", "n03"]
    for name in names:
        (tmp_path / "val" / name).mkdir(parents=True)
        for k in (5, 2, 9, 1, 8):
            picture(k).save(tmp_path / "val" / name / f"{k}.png")
    val = ImageFolderSet(tmp_path, "val")
    assert val.class_names == tuple(sorted(names))
    assert val.files == sorted(val.files)


@pytest.mark.parametrize("suffix", [".JPEG", ".jpg", ".Png"])
def test_suffixes_in_any_case(tmp_path, suffix):
    add_class(tmp_path / "val" / "a", 1, suffix)
    image = ImageFolderSet(tmp_path, "val").read(0)
    assert image.shape == (12, 20, 3)
    assert image.dtype == np.uint8


def test_tune_is_every_twentieth_training_file_and_train_leaves_it_out(root):
    tune, train = ImageFolderSet(root, "tune"), ImageFolderSet(root, "train")
    assert tune.files == [f"train/{name}.JPEG" for name in ("n01/n01_000", "n02/n02_000", "n02/n02_020", "n02/n02_040")]
    assert tune.labels.tolist() == [0, 1, 1, 1]
    whole = ImageFolderSet(root, "train", exclude_tune=False)
    assert len(whole) == 44
    assert not set(tune.files) & set(train.files)
    assert sorted(tune.files + train.files) == sorted(whole.files)


def test_tune_folder_comes_first(root):
    for name in ("n01", "n02"):
        add_class(root / "tune" / name, 1)
    assert ImageFolderSet(root, "tune").files == ["tune/n01/n01_000.JPEG", "tune/n02/n02_000.JPEG"]
    assert len(ImageFolderSet(root, "train")) == 44


def test_a_single_image_of_a_class_stays_in_training(tmp_path):
    add_class(tmp_path / "train" / "a", 1)
    assert len(ImageFolderSet(tmp_path, "train")) == 1
    with pytest.raises(DataError, match="one image per class"):
        ImageFolderSet(tmp_path, "tune")
    add_class(tmp_path / "train" / "b", 2)
    assert ImageFolderSet(tmp_path, "tune").files == ["train/b/b_000.JPEG"]


def test_images_are_read_as_rgb(tmp_path):
    folder = tmp_path / "val" / "a"
    folder.mkdir(parents=True)
    Image.new("L", (2, 2), 7).save(folder / "1.png")
    Image.new("CMYK", (2, 2), (0, 255, 255, 0)).save(folder / "2.jpg")
    Image.new("RGBA", (2, 2), (1, 2, 3, 4)).save(folder / "3.png")
    images = ImageFolderSet(tmp_path, "val")
    assert images.read(0).tolist() == [[[7] * 3] * 2] * 2
    assert images.read(1)[0, 0, 0] > 200
    assert images.read(1)[0, 0, 1] < 50
    assert images.read(2)[0, 0].tolist() == [1, 2, 3]


def test_unreadable_image_is_named(root):
    file = root / "val" / "n02" / "n02_001.JPEG"
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"GIF89a but not really", whole[:30] + b"\0" * 300):
        file.write_bytes(content)
        with pytest.raises(DataError) as caught:
            ImageFolderSet(root, "val").read(3)
        assert str(file) in str(caught.value)
        assert "\n" not in str(caught.value)
    file.unlink()
    with pytest.raises(DataError, match=r"n02_001\.JPEG does not exist"):
        read_image(file)


def test_truncated_png_is_named(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(content[:-1000])
    with pytest.raises(DataError, match=r"x\.png"):
        read_image(tmp_path / "x.png")


def test_missing_folders_tell_the_layout_and_the_source(root, tmp_path):
    with pytest.raises(DataError) as caught:
        ImageFolderSet(tmp_path / "nowhere", "val")
    for part in ("nowhere does not exist", "ROOT/val/<class>/*.JPEG", "image-net.org", "nothing is downloaded"):
        assert part in str(caught.value)
    (root / "val").rename(root / "validation")
    with pytest.raises(DataError, match=r"val does not exist .* image-net\.org"):
        ImageFolderSet(root, "val")
    assert len(ImageFolderSet(root, "train", exclude_tune=False)) == 44


def test_val_alone_is_enough_for_evaluation(root, tmp_path):
    (root / "train").rename(tmp_path / "elsewhere")
    assert len(ImageFolderSet(root, "val")) == 4


def test_flat_validation_folder_as_it_is_given_out(tmp_path):
    (tmp_path / "val").mkdir()
    picture(1).save(tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG")
    with pytest.raises(DataError, match="without class folders"):
        ImageFolderSet(tmp_path, "val")


def test_empty_folders_are_refused(root):
    (root / "val" / "n03").mkdir()
    (root / "train" / "n03").mkdir()
    with pytest.raises(DataError, match="val/n03 holds no image"):
        ImageFolderSet(root, "val")
    (root / "tune").mkdir()
    with pytest.raises(DataError, match="tune holds no class folders"):
        ImageFolderSet(root, "tune")


def test_classes_that_differ_are_refused(root):
    add_class(root / "val" / "n09", 1)
    (root / "val" / "n01").rename(root / "val" / "n00")
    with pytest.raises(DataError, match=r"2 only in val \(first: n00\), 1 only in train \(first: n01\)"):
        ImageFolderSet(root, "val")


def test_manifest_covers_names_and_sizes(root):
    images = ImageFolderSet(root, "val")
    lines = [f"{file}\0{(root / file).stat().st_size}\n" for file in sorted(images.files)]
    assert images.manifest_sha256() == hashlib.sha256("".join(lines).encode()).hexdigest()
    (root / "val" / "n01" / "n01_000.JPEG").write_bytes(b"shorter")
    assert images.manifest_sha256() != hashlib.sha256("".join(lines).encode()).hexdigest()
