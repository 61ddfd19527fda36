from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from dit_bench.errors import DataError
from dit_bench.runs.image_records import ImageRecords, load_image_records, save_image_records


def test_arrays_are_read_back_as_written(tmp_path: Path, images: ImageRecords) -> None:
    path = save_image_records(tmp_path, images)
    assert path == tmp_path / "records.npz"
    for source in (tmp_path, path):
        loaded = load_image_records(source)
        for item in fields(images):
            written, read = getattr(images, item.name), getattr(loaded, item.name)
            assert read.dtype == written.dtype
            np.testing.assert_array_equal(read, written)


def test_arrays_that_do_not_fit_each_other_are_refused(images: ImageRecords) -> None:
    assert images.label is not None
    with pytest.raises(ValueError, match="label has shape"):
        replace(images, label=images.label[:-1])
    with pytest.raises(ValueError, match="columns has shape"):
        replace(images, columns=images.live)
    with pytest.raises(ValueError, match="macs has type int32"):
        replace(images, macs=images.macs.astype(np.int32))
    with pytest.raises(ValueError, match="kept has shape"):
        replace(images, kept=images.kept[0])


def test_pickles_are_never_executed(tmp_path: Path, images: ImageRecords) -> None:
    marker = tmp_path / "executed"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return open, (str(marker), "w")

    arrays = {item.name: getattr(images, item.name) for item in fields(images)}
    np.savez(tmp_path / "records.npz", **{**arrays, "label": np.array([Evil()], dtype=object)})
    with pytest.raises(DataError, match="damaged"):
        load_image_records(tmp_path)
    assert not marker.exists()


def test_missing_extra_or_foreign_files(tmp_path: Path, images: ImageRecords) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_image_records(tmp_path)
    path = tmp_path / "records.npz"
    assert images.label is not None
    np.savez(path, label=images.label)
    with pytest.raises(DataError, match="damaged"):
        load_image_records(path)
    with path.open("wb") as file:
        np.save(file, images.label)
    with pytest.raises(DataError, match="damaged"):
        load_image_records(path)


def test_any_altered_or_cut_file_is_refused_or_read_but_never_crashes(tmp_path: Path, images: ImageRecords) -> None:
    path = save_image_records(tmp_path, images)
    content = path.read_bytes()
    random = np.random.default_rng(1)
    refused = 0
    for _ in range(150):
        altered = bytearray(content)
        if random.random() < 0.3:
            del altered[int(random.integers(len(altered))) :]
        else:
            altered[int(random.integers(len(altered)))] ^= int(random.integers(1, 256))
        path.write_bytes(altered)
        try:
            load_image_records(path)
        except DataError:
            refused += 1
    assert refused > 100
