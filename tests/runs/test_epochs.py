"""The log of a run's epochs: read as written, refused when it is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from dit_bench.errors import DataError
from dit_bench.runs.epochs import load_epochs
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.record import RunRecord


@pytest.fixture
def run(tmp_path: Path, record: RunRecord) -> FinishedRun:
    return FinishedRun(tmp_path, record)


def test_epochs_as_written(run: FinishedRun) -> None:
    run.epochs_file.write_text('{"epoch": 1.0, "loss": 2.5}\n{"epoch": 2.0, "loss": 1}\n', encoding="utf-8")
    assert load_epochs(run) == [{"epoch": 1.0, "loss": 2.5}, {"epoch": 2.0, "loss": 1.0}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "epochs.jsonl: cannot be read"),
        ("", "epochs are missing"),
        ('{"epoch": 2.0}\n', "epochs are missing"),
        ('{"epoch": 1.0}\n{"epo', "not one JSON object of numbers per line"),
        ("[1]\n", "not one JSON object of numbers per line"),
        ('{"epoch": "one"}\n', "not one JSON object of numbers per line"),
        ('{"epoch": null}\n', "not one JSON object of numbers per line"),
    ],
)
def test_damaged_logs_are_refused(run: FinishedRun, content: str | None, said: str) -> None:
    if content is not None:
        run.epochs_file.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=said) as caught:
        load_epochs(run)
    assert str(run.epochs_file) in caught.value.message
