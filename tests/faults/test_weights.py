"""Weights that were changed in several places: all of it is listed, nothing is copied, and code is named."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.faults.attempts import ForkServer
from tests.faults.small_tables import RECIPE, SmallTable, write

EVAL = ("eval", RECIPE, "--profile", "smoke", "--device", "cpu", "--json", "--checkpoint")


@pytest.fixture
def weights(one_row: SmallTable, folder: Path) -> dict[str, torch.Tensor]:
    """The weights of the finished run, whose recipe lies in `folder`."""
    write(folder, one_row.recipe)
    (file,) = (one_row.folder / "runs").glob("*/weights.safetensors")
    shutil.copy(file, folder / "good.safetensors")
    return load_file(file)


def test_every_change_is_listed(server: ForkServer, weights: dict[str, torch.Tensor], folder: Path) -> None:
    draw = random.Random(0)
    assert server.run([*EVAL, "good.safetensors"], folder).code == 0
    for _ in range(5):
        missing, reshaped, renamed = (draw.sample(sorted(weights), k=2) for _ in range(3))
        changed = dict(weights)
        for name in reshaped:
            changed[name] = torch.cat([changed[name], changed[name]])
        for name in renamed:
            changed[f"{name}_"] = changed.pop(name)
        for name in missing:
            changed.pop(name, None)
            changed.pop(f"{name}_", None)
        save_file(changed, folder / "changed.safetensors")
        ended = server.run([*EVAL, "changed.safetensors"], folder)
        gone = {*missing, *renamed}
        left_over = {f"{name}_" for name in renamed if name not in missing}
        ended.refused(3, "changed.safetensors", "another architecture", *gone, *left_over, *set(reshaped) - gone)
        assert ended.out == ""


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        import os

        return os.mkdir, (str(self.marker),)


def test_a_hostile_checkpoint_leaves_no_marker(
    server: ForkServer, weights: dict[str, torch.Tensor], folder: Path
) -> None:
    """Through the whole command; the payload works where it is not refused."""
    marker = folder / "executed"
    torch.save({"model": weights, "hook": Payload(marker)}, folder / "hostile.pth")
    torch.load(folder / "hostile.pth", weights_only=False)
    marker.rmdir()
    ended = server.run([*EVAL, "hostile.pth"], folder)
    ended.refused(3, "hostile.pth names code: posix.mkdir; it is not opened", "convert it to safetensors")
    assert not marker.exists()


@pytest.mark.parametrize("cut", [0, 1, 7, 100, 5000, -1])
def test_a_cut_file(server: ForkServer, weights: dict[str, torch.Tensor], folder: Path, cut: int) -> None:
    content = (folder / "good.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(content[:cut])
    server.run([*EVAL, "cut.safetensors"], folder).refused(3, "cut.safetensors is not a readable safetensors file")
