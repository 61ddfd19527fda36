"""Predictions image by image as CSV, for spreadsheets and data frames."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dit_bench.report.files import written_aside

IMAGE_CSV_SUFFIXES = (".csv",)
HEADER = (
    "row",
    "seed",
    "protocol",
    "file",
    "label",
    "label_name",
    "prediction",
    "prediction_name",
    "top1_hit",
    "top5_hit",
    "gmacs",
)


@dataclass(frozen=True)
class ScoredImages:
    """The images of one result: arrays over n images, and what their numbers are called.

    Attributes:
        row: id of the recipe's row.
        seed: seed of the run; None for weights from elsewhere.
        protocol: named evaluation protocol; None: as the recipe says.
        records: index, label, prediction, top5_hit and macs (n,), as in a run's `records.npz`.
        image_names: what image `index` is called.
        class_names: what each class of the classifier is called.
    """

    row: str
    seed: int | None
    protocol: str | None
    records: Mapping[str, np.ndarray]
    image_names: Sequence[str]
    class_names: Sequence[str]


def save_image_csv(results: Sequence[ScoredImages], path: Path, *, force: bool) -> Path:
    """Write one line per image and result, complete or not at all; hits are 0 or 1, missing seed and protocol empty.

    Raises UsageError for another suffix than .csv, an existing file without `force`, or a path that cannot be written.
    """
    with (
        written_aside(path, IMAGE_CSV_SUFFIXES, force=force) as aside,
        aside.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER)
        for result in results:
            writer.writerows(_lines(result))
    return path


def _lines(result: ScoredImages) -> Iterator[tuple[str | int, ...]]:
    seed: str | int = "" if result.seed is None else result.seed
    names, records = result.class_names, result.records
    for k in range(len(records["index"])):
        label, prediction = int(records["label"][k]), int(records["prediction"][k])
        yield (
            result.row,
            seed,
            result.protocol or "",
            result.image_names[int(records["index"][k])],
            label,
            names[label],
            prediction,
            names[prediction] if prediction >= 0 else "",
            int(prediction == label),
            int(records["top5_hit"][k]),
            repr(int(records["macs"][k]) / 1e9) if prediction >= 0 else "",
        )
