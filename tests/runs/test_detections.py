"""Stored detections come back as they were; broken and hostile files are refused in one line."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from dit_bench.errors import DataError
from dit_bench.runs.detections import DetectionRecords, join_detections, load_detections, save_detections


@dataclass(frozen=True)
class Found:
    """Detections of one image."""

    image_id: int
    category_ids: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    masks: list[dict[str, Any]] | None


def _found(image_id: int, count: int, *, with_masks: bool) -> Found:
    rng = np.random.default_rng(image_id)
    shapes: list[Any] = [
        coco_mask.encode(np.asfortranarray(rng.random((30, 40)) < 0.1, np.uint8)) for _ in range(count)
    ]
    return Found(
        image_id,
        rng.integers(1, 91, count),
        rng.random(count, np.float32),
        rng.uniform(0, 100, (count, 4)).astype(np.float32),
        [{"size": [30, 40], "counts": shape["counts"].decode()} for shape in shapes] if with_masks else None,
    )


@pytest.fixture(params=[True, False], ids=["masks", "boxes"])
def found(request: pytest.FixtureRequest) -> list[Found]:
    """Images 9, 4 and 12 with 3, 0 and 5 detections."""
    return [_found(image, count, with_masks=request.param) for image, count in ((9, 3), (4, 0), (12, 5))]


@pytest.fixture
def records(found: list[Found]) -> DetectionRecords:
    return join_detections(found)


@pytest.fixture
def with_masks() -> DetectionRecords:
    return join_detections([_found(image, 4, with_masks=True) for image in (1, 2)])


def _arrays(records: DetectionRecords) -> dict[str, Any]:
    arrays = {item.name: getattr(records, item.name) for item in fields(records)}
    return {name: array for name, array in arrays.items() if array is not None}


def test_what_was_found_is_read_back(tmp_path: Path, found: list[Found], records: DetectionRecords) -> None:
    path = save_detections(tmp_path, records)
    assert path == tmp_path / "detections.npz"
    for source in (tmp_path, path):
        loaded = load_detections(source)
        assert {name: array.dtype for name, array in _arrays(loaded).items()} == {
            name: array.dtype for name, array in _arrays(records).items()
        }
        for name, array in _arrays(records).items():
            np.testing.assert_array_equal(getattr(loaded, name), array)
        assert loaded.images.tolist() == [4, 9, 12]
        expected = [
            {"image_id": part.image_id, "category_id": int(category), "score": float(score), "bbox": box.tolist()}
            for part in (found[0], found[2])
            for category, score, box in zip(part.category_ids, part.scores, part.boxes, strict=True)
        ]
        assert loaded.results("bbox") == expected
        assert loaded.has_masks == (found[0].masks is not None)
        if loaded.has_masks:
            shapes = [*(found[0].masks or ()), *(found[2].masks or ())]
            assert [entry["segmentation"] for entry in loaded.results("segm")] == shapes
            assert not any("bbox" in entry for entry in loaded.results("segm"))


def test_one_image(found: list[Found], records: DetectionRecords) -> None:
    part = records.of_image(12)
    assert part.images.tolist() == [12]
    np.testing.assert_array_equal(part.box, found[2].boxes)
    if records.has_masks:
        assert part.run_lengths() == found[2].masks
    assert len(records.of_image(4).score) == 0
    assert records.of_image(4).has_masks == records.has_masks


def test_no_images_at_all(tmp_path: Path) -> None:
    save_detections(tmp_path, join_detections([]))
    assert load_detections(tmp_path).results("bbox") == []


def test_images_do_not_come_twice_and_have_masks_or_not() -> None:
    with pytest.raises(ValueError, match="each once"):
        join_detections([_found(1, 2, with_masks=False), _found(1, 2, with_masks=False)])
    with pytest.raises(ValueError, match="some images have masks"):
        join_detections([_found(1, 2, with_masks=True), _found(2, 2, with_masks=False)])


def test_arrays_that_do_not_fit_are_refused(with_masks: DetectionRecords) -> None:
    records, length = with_masks, with_masks.mask_length
    assert length is not None
    cut = {"mask_length": length[:-1]}
    for wrong, message in (
        ({"score": records.score.astype(np.float64)}, "score has type float64"),
        ({"score": records.score[:-1]}, "score has shape"),
        ({"box": records.box[:, :3]}, "box has shape"),
        ({"box": records.box[:, 0]}, "box has type float32 and shape"),
        ({"box": -1 - records.box}, "box is not x, y, width, height"),
        ({"score": records.score * np.float32("nan")}, "score is not finite"),
        ({"images": records.images[::-1]}, "images are not in ascending order"),
        ({"images": records.images[:1]}, "image_id names an image that is not among images"),
        ({"mask_size": None}, "mask_length without the other arrays of masks"),
        (cut, "mask_length has shape"),
        ({"mask_length": length + 1}, "characters"),
        ({"mask_counts": with_masks.mask_counts[:-1]}, "characters"),  # pyright: ignore[reportOptionalSubscript]
        ({"mask_size": with_masks.mask_size + 1}, "mask 0 does not cover"),  # pyright: ignore[reportOptionalOperand]
    ):
        changes: dict[str, Any] = wrong
        with pytest.raises(ValueError, match=message):
            replace(records, **changes)


def test_pickles_are_never_executed(tmp_path: Path, records: DetectionRecords) -> None:
    marker = tmp_path / "executed"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str, str]]:
            return open, (str(marker), "w")

    np.savez(tmp_path / "detections.npz", **{**_arrays(records), "score": np.array([Evil()], dtype=object)})
    with pytest.raises(DataError, match=r"detections\.npz: damaged"):
        load_detections(tmp_path)
    assert not marker.exists()


def test_missing_extra_or_foreign_files(tmp_path: Path, records: DetectionRecords) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_detections(tmp_path)
    path = tmp_path / "detections.npz"
    wrong: list[dict[str, Any]] = [{"score": records.score}, {**_arrays(records), "more": records.score}]
    for arrays in wrong:
        np.savez(path, **arrays)
        with pytest.raises(DataError, match="damaged"):
            load_detections(path)
    with path.open("wb") as file:
        np.save(file, records.score)
    with pytest.raises(DataError, match="damaged"):
        load_detections(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=r"damaged|no such file"):
        load_detections(path)


def test_masks_that_do_not_cover_their_image_are_refused(tmp_path: Path, with_masks: DetectionRecords) -> None:
    arrays = _arrays(with_masks)
    arrays["mask_counts"] = np.full_like(arrays["mask_counts"], 255)
    np.savez(tmp_path / "detections.npz", **arrays)
    with pytest.raises(DataError, match=r"detections\.npz: damaged: mask 0 does not cover its image"):
        load_detections(tmp_path)


def test_any_altered_or_cut_file_is_refused_or_read_but_never_crashes(
    tmp_path: Path, with_masks: DetectionRecords
) -> None:
    path = save_detections(tmp_path, with_masks)
    content = path.read_bytes()
    random = np.random.default_rng(1)
    refused: list[str] = []
    for _ in range(150):
        altered = bytearray(content)
        if random.random() < 0.3:
            del altered[int(random.integers(len(altered))) :]
        else:
            altered[int(random.integers(len(altered)))] ^= int(random.integers(1, 256))
        path.write_bytes(altered)
        try:
            load_detections(path)
        except DataError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert not any("\n" in message for message in refused)
