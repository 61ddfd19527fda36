"""What a caller sees of each kind of ending: the exit code, standard output for machines, one line of talk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.faults.attempts import ForkServer
from tests.faults.small_tables import ABLATE, RECIPE, TRAIN, SmallTable, write

SELECTION = (RECIPE, "--profile", "smoke")


@pytest.fixture
def finished(one_row: SmallTable, folder: Path) -> Path:
    """A folder with a recipe and its finished run."""
    write(folder, one_row.recipe)
    shutil.copytree(one_row.folder / "runs", folder / "runs")
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ABLATE,
        (*ABLATE, "--only-finished"),
        TRAIN,
        ("eval", *SELECTION, "--device", "cpu", "--json"),
        ("list", "--json"),
        ("list", "--runs", "--json"),
        ("show", *SELECTION, "--json"),
        ("flops", *SELECTION, "--json"),
    ],
    ids=" ".join,
)
def test_success_is_0_with_one_json_document(server: ForkServer, finished: Path, command: tuple[str, ...]) -> None:
    ended = server.run(command, finished)
    assert ended.code == 0, ended.err
    json.loads(ended.out)
    assert ended.out.endswith("\n")
    assert "error" not in ended.err


def test_a_regression_is_1_and_its_document_stays_whole(server: ForkServer, finished: Path) -> None:
    update = ("check", "--update", *SELECTION, "--counted", "--reason", "first", "--file", "counts.json")
    assert server.run(update, finished).code == 0
    check = ("check", "counts.json", "--json")
    assert server.run(check, finished).code == 0
    baseline = json.loads((finished / "counts.json").read_text())
    figures = next(iter(baseline["rows"].values()))["figures"]
    figures["params_total"] += 1
    (finished / "counts.json").write_text(json.dumps(baseline))
    ended = server.run(check, finished)
    assert ended.code == 1
    (checked,) = json.loads(ended.out)["baselines"]
    assert [line["verdict"] for line in checked["figures"] if line["fails"]] == ["changed"]
    assert "params_total" in ended.err


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (("train", "tabel.yaml"), 2, "did you mean 'table.yaml'?"),
        ((*TRAIN, "optimiser.lrr=1"), 2, "did you mean 'optimiser.lr'?"),
        ((*TRAIN, "optimiser.lr=fast"), 2, "optimiser.lr"),
        ((*TRAIN, "optimiser.epochs=0"), 2, "optimiser.epochs"),
        ((*TRAIN, "model.name=pvt_v2_nona"), 2, "pvt_v2_nano"),
        ((*TRAIN, "--device", "tpu"), 2, "use auto, cpu, cuda"),
        ((*TRAIN, "--row", "ptv"), 2, "did you mean 'pvt'?"),
        (("eval", *SELECTION, "--json", "--seed", "5"), 3, "dit-bench train"),
        (("eval", *SELECTION, "--json", "--checkpoint", "none.pth"), 3, "none.pth: no such file"),
        ((*TRAIN, "data.dataset=imagenet", "data.root=nowhere"), 3, "data set folder nowhere does not exist"),
        ((*TRAIN, "--results", RECIPE), 2, RECIPE),
    ],
)
def test_refusals_are_one_line_and_an_empty_output(
    server: ForkServer, finished: Path, command: tuple[str, ...], code: int, said: str
) -> None:
    ended = server.run(command, finished)
    ended.refused(code, said)
    assert ended.out == ""
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("faults", "code", "said"),
    [
        ({"interrupt_at": 1}, 4, "error: stopped in epoch 1 of 1 — the same command goes on from here"),
        ({"nan_at": 1}, 5, "error: the loss became nan in epoch 1, step 1"),
        ({"defect_at": 1}, 5, "error: internal: ZeroDivisionError: division by zero — this is a defect of dit-bench"),
    ],
    ids=["interrupted", "not a number", "defect"],
)
def test_work_that_does_not_end(
    server: ForkServer, one_row: SmallTable, folder: Path, faults: dict[str, Any], code: int, said: str
) -> None:
    write(folder, one_row.recipe)
    ended = server.run(ABLATE, folder, faults=faults)
    ended.refused(code)
    assert said in ended.err
    assert ended.out == ""
    one_row.check(server.run(ABLATE, folder))


def test_a_terminal_that_takes_no_words_changes_no_exit_code(server: ForkServer, finished: Path) -> None:
    """Standard error on a full device: code 1 would mean a regression."""
    assert server.run(("show", "nothing.yaml"), finished, stderr="/dev/full").code == 2
    assert server.run(ABLATE, finished, stderr="/dev/full").code == 0


def test_a_table_that_cannot_be_printed_is_said(server: ForkServer, finished: Path) -> None:
    ended = server.run(ABLATE, finished, stdout="/dev/full")
    ended.refused(3, "No space left on device", "free some space")
