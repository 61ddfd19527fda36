"""Masks that pycocotools writes pass, whatever they show; altered ones are found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from dit_bench.runs import run_lengths
from dit_bench.runs.run_lengths import check_run_lengths


def _masks(seed: int, count: int) -> list[np.ndarray]:
    """Noise, blocks, stripes, all and nothing, of many sizes."""
    rng, masks = np.random.default_rng(seed), []
    for k in range(count):
        height, width = rng.integers(1, 90, 2)
        mask = rng.random((height, width)) < (0, 1, 0.5, 0.02)[k % 4]
        if k % 3 == 0:
            mask[height // 3 : height // 2 + 1, width // 4 :] = k % 2
        masks.append(mask)
    # Runs of 2^24 pixels need several characters, differences of both signs.
    long = np.zeros((2048, 10000), bool)
    long[:, 8000:] = True
    long[5, 100] = True
    return [*masks, long]


def _written(masks: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    encoded: list[Any] = [coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks]
    texts = [entry["counts"] for entry in encoded]
    sizes = np.array([mask.shape for mask in masks], np.int32).reshape(-1, 2)
    return np.frombuffer(b"".join(texts), np.uint8).copy(), np.array([len(text) for text in texts], np.int32), sizes


@pytest.mark.parametrize("at_once", [1, 50, 1 << 20])
def test_what_pycocotools_writes_passes(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lengths, "_BYTES_AT_ONCE", at_once)
    check_run_lengths(*_written(_masks(0, 40)))
    check_run_lengths(*_written([]))


def test_masks_of_other_sizes_are_found() -> None:
    counts, lengths, sizes = _written(_masks(1, 20))
    sizes[7, 0] += 1
    with pytest.raises(ValueError, match="mask 7 does not cover its image"):
        check_run_lengths(counts, lengths, sizes)


@pytest.mark.parametrize("at_once", [40, 1 << 20])
def test_altered_characters_pass_only_where_they_are_another_mask(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pycocotools itself is asked about every altered mask: what covers the image decodes without an error."""
    monkeypatch.setattr(run_lengths, "_BYTES_AT_ONCE", at_once)
    masks = _masks(2, 24)[:-1]
    original, lengths, sizes = _written(masks)
    rng, refused, passed = np.random.default_rng(3), [], 0
    for _ in range(300):
        counts, place = original.copy(), int(rng.integers(len(original)))
        counts[place] = rng.integers(0, 256) if rng.random() < 0.3 else rng.integers(48, 112)
        mask = int(np.searchsorted(np.cumsum(lengths), place, side="right"))
        begin = int(lengths[:mask].sum())
        text = counts[begin : begin + lengths[mask]].tobytes()
        try:
            check_run_lengths(counts, lengths, sizes)
            passed += 1
        except ValueError as error:
            refused.append((str(error), f"mask {mask} does not cover its image"))
            continue
        decoded: Any = coco_mask.decode({"size": sizes[mask].tolist(), "counts": text})
        assert decoded.shape == tuple(sizes[mask])
        assert coco_mask.area({"size": sizes[mask].tolist(), "counts": text}) == decoded.sum()
    assert all(message == expected for message, expected in refused)
    assert len(refused) > 200
    assert passed > 0


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (b"", (2, 2)),  # nothing
        (b"T", (2, 2)),  # a number that goes on after the end
        (b"TTTTTTTT4", (2, 2)),  # a number of nine characters
        (b"3", (2, 2)),  # three pixels of four
        (b"5", (2, 2)),  # five
        (b"5O", (2, 2)),  # five and minus one
        (b"4\x00", (2, 2)),  # no such character
        (b"t", (2, 2)),  # nor this one, though its lower bits are those of 4
        (b"\xb4", (2, 2)),
        (b"4", (0, 4)),
        (b"4", (-2, -2)),
        (b"4", (1 << 17, 1 << 17)),
    ],
)
def test_hand_made_ones(text: bytes, size: tuple[int, int]) -> None:
    good = b"4", (2, 2)
    for order in (((text, size), good), (good, (text, size))):
        counts = np.frombuffer(b"".join(text for text, _ in order), np.uint8)
        lengths = np.array([len(text) for text, _ in order], np.int32)
        with pytest.raises(ValueError, match="mask"):
            check_run_lengths(counts, lengths, np.array([size for _, size in order], np.int32))


def test_characters_that_belong_to_no_mask() -> None:
    counts, lengths, sizes = _written(_masks(4, 5))
    with pytest.raises(ValueError, match="characters"):
        check_run_lengths(np.append(counts, np.uint8(48)), lengths, sizes)
    with pytest.raises(ValueError, match="characters"):
        check_run_lengths(counts, lengths[:0], sizes[:0])
