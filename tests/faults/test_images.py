"""Unreadable pictures of an evaluation: never another one in their place, and a command that says which it was."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.faults.attempts import ForkServer

EVAL = ("eval", "dit/table8", "--row", "neither", "--profile", "mini", "--device", "cpu", "--json")
Weights = dict[str, torch.Tensor]


def _half(content: bytes) -> bytes:
    return content[: len(content) // 2]


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "half": _half,
    "last tenth missing": lambda content: content[: -len(content) // 10],
    "only the head": lambda content: content[:20],
    "text": lambda content: b"<html>404 Not Found</html>",
    "zeros": lambda content: bytes(len(content)),
}


@pytest.fixture
def command(synset_folder: Path, colour_weights: Weights, folder: Path) -> tuple[str, ...]:
    """Evaluation of a folder of 30 pictures, in `folder / "set"`."""
    shutil.copytree(synset_folder, folder / "set")
    save_file(colour_weights, folder / "weights.safetensors")
    settings = ("model.name=pvt_v2_nano", "data.dataset=imagenet", "data.root=set")
    return (*EVAL, "--checkpoint", "weights.safetensors", *settings)


def test_a_broken_picture_ends_the_evaluation_with_its_path(
    server: ForkServer, command: tuple[str, ...], folder: Path
) -> None:
    assert server.run(command, folder).code == 0
    pictures = sorted((folder / "set" / "val").rglob("*.JPEG"))
    for number, (name, broken) in enumerate(BROKEN.items()):
        # Two more after it: the first in the order of the set is the one that is named.
        chosen = [pictures[at] for at in (4 * number, 4 * number + 5, 29)]
        kept = {picture: picture.read_bytes() for picture in chosen}
        for picture, content in kept.items():
            picture.write_bytes(broken(content))
        for workers in ("0", "2") if name == "half" else ("0",):
            ended = server.run([*command, "--workers", workers], folder)
            ended.refused(3, f"cannot read image {chosen[0].relative_to(folder)}", "restore or replace the file")
            assert ended.out == ""
        for picture, content in kept.items():
            picture.write_bytes(content)


def test_a_missing_picture_is_no_smaller_set(server: ForkServer, command: tuple[str, ...], folder: Path) -> None:
    """A link that leads nowhere is listed, and so it must be read."""
    picture = sorted((folder / "set" / "val").rglob("*.JPEG"))[7]
    picture.unlink()
    picture.symlink_to("nowhere")
    server.run(command, folder).refused(3, picture.name)


def test_leniently_broken_pictures_are_wrong_and_reported(
    server: ForkServer, command: tuple[str, ...], folder: Path
) -> None:
    """All 30 pictures count: what could be read is judged as before, the rest is wrong, costs are of what was read."""
    records = ("--records", "records.csv", "--force")

    def judged(*more: str) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
        ended = server.run([*command, *records, *more], folder)
        assert ended.code == 0, ended.err
        with (folder / "records.csv").open(encoding="utf-8") as file:
            lines = {line["file"]: line for line in csv.DictReader(file)}
        return json.loads(ended.out)[0], lines

    whole, before = judged()
    assert "images_unreadable" not in whole["metrics"]
    pictures = sorted((folder / "set" / "val").rglob("*.JPEG"))
    chosen = {str(picture.relative_to(folder / "set")) for picture in (pictures[0], pictures[7], pictures[29])}
    for name in chosen:
        (folder / "set" / name).write_bytes(b"no picture")
    found, after = judged("--lenient")
    assert judged("--lenient", "--workers", "2", "--eval-batch-size", "4")[1] == after
    assert len(after) == len(before) == found["num_images"] == 30
    assert found["metrics"]["images_unreadable"] == len(chosen) == 3
    for name, line in after.items():
        if name in chosen:
            assert (line["prediction"], line["prediction_name"], line["top1_hit"], line["top5_hit"]) == (
                "-1",
                "",
                "0",
                "0",
            )
        else:
            assert line == before[name]
    hits = sum(int(line["top1_hit"]) for line in after.values())
    assert found["metrics"]["top1_percent"] == pytest.approx(100 * hits / 30)
    assert found["metrics"]["gmacs_mean"] == pytest.approx(whole["metrics"]["gmacs_mean"])
    for picture in pictures:
        picture.write_bytes(b"")
    server.run([*command, "--lenient"], folder).refused(3, "none of the images can be read")
