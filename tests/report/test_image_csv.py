"""One line per image."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dit_bench.errors import UsageError
from dit_bench.report.image_csv import ScoredImages, save_image_csv

RECORDS = {
    "index": np.array([1, 0]),
    "label": np.array([0, 1]),
    "prediction": np.array([1, 1]),
    "top5_hit": np.array([True, False]),
    "macs": np.array([123_456_789, 5]),
}
RESULT = ScoredImages("r18", None, "timm", RECORDS, ("val/a, b/0.png", "val/a, b/1.png"), ("n0 tench", "n1"))


def test_lines_by_hand(tmp_path: Path) -> None:
    own = replace(RESULT, row="dynamic", seed=3, protocol=None)
    path = save_image_csv([RESULT, own], tmp_path / "new" / "o.csv", force=False)
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["file"] for line in lines] == ["val/a, b/1.png", "val/a, b/0.png"] * 2
    assert lines[0] == {
        "row": "r18",
        "seed": "",
        "protocol": "timm",
        "file": "val/a, b/1.png",
        "label": "0",
        "label_name": "n0 tench",
        "prediction": "1",
        "prediction_name": "n1",
        "top1_hit": "0",
        "top5_hit": "1",
        "gmacs": "0.123456789",
    }
    assert [lines[3][key] for key in ("row", "seed", "protocol", "top1_hit", "top5_hit", "gmacs")] == [
        "dynamic",
        "3",
        "",
        "1",
        "0",
        "5e-09",
    ]


def test_an_existing_file_is_kept_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "o.csv"
    path.write_text("precious")
    with pytest.raises(UsageError, match=r"o\.csv: exists"):
        save_image_csv([RESULT], path, force=False)
    assert path.read_text() == "precious"
    save_image_csv([RESULT], path, force=True)
    assert path.read_text().startswith("row,seed,protocol,file,")
    assert list(tmp_path.iterdir()) == [path]


def test_half_a_file_is_never_left(tmp_path: Path) -> None:
    with pytest.raises(IndexError):
        save_image_csv([RESULT, replace(RESULT, image_names=())], tmp_path / "o.csv", force=False)
    assert list(tmp_path.iterdir()) == []


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown format '\.txt'"):
        save_image_csv([RESULT], tmp_path / "o.txt", force=False)
