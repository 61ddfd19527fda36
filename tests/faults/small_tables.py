"""Tables that take a second: their recipes, and what they come to when nothing disturbs them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.attempts import Ended, ForkServer, without_times

_HEAD = """
schema_version: 1
title: "A table in small"
kind: table
paper: {key: dit, table: "6", section: "4.4", metric_headings: {gmacs: "GFLOPs", top1_percent: "Acc.(%)"}}
profiles:
  smoke:
    seeds: [0]
    settings:
      data: {image_size_px: 32, train_images: 16, tune_images: 4, val_images: 5, clutter: 0, min_scale: 0.5}
"""
TWO_ROWS = f"""{_HEAD}
      optimiser: {{epochs: 2, batch_size: 8, warmup_epochs: 1.0}}
reference_row: dynamic
rows:
  - id: dynamic
    label: "Dynamic"
    printed: {{gmacs: 3.8, top1_percent: 83.1}}
    settings: {{model: {{name: dit_nano, drop_path_rate: 0.1}}, routing: {{variant: dynamic, open_fraction: 0.3}}}}
  - id: pvt
    label: "PVT"
    printed: {{gmacs: 4.0, top1_percent: 82.0}}
    settings: {{model: {{name: pvt_v2_nano}}, routing: {{variant: diagonal}}}}
claims:
  - {{id: better, higher: dynamic, lower: pvt, metric: top1_percent, text: "Better.", source: "Table 6"}}
"""
ONE_ROW = f"""{_HEAD}
      optimiser: {{epochs: 1, batch_size: 8, warmup_epochs: 0.5}}
rows:
  - id: pvt
    label: "PVT"
    printed: {{gmacs: 4.0, top1_percent: 82.0}}
    settings: {{model: {{name: pvt_v2_nano}}, routing: {{variant: diagonal}}}}
"""
RECIPE = "table.yaml"
ABLATE = ("ablate", RECIPE, "--profile", "smoke", "--device", "cpu", "--json")
TRAIN = ("train", *ABLATE[1:])


@dataclass(frozen=True)
class SmallTable:
    """A recipe, and its table without times."""

    recipe: str
    table: Any
    seconds: float
    """How long an undisturbed command takes."""
    folder: Path
    """Where the undisturbed runs lie."""

    @classmethod
    def undisturbed(cls, server: ForkServer, folder: Path, recipe: str) -> SmallTable:
        """Run a recipe once to fill the cache of scenes, and once more."""
        write(folder, recipe)
        server.run([*ABLATE, "--results", "first"], folder)
        done = server.run(ABLATE, folder)
        assert done.code == 0, done.err
        return cls(recipe, without_times(done.out), done.seconds, folder)

    def check(self, done: Ended) -> None:
        """Assert that a command ended well and in the table of the undisturbed one."""
        assert done.code == 0, done.err
        assert without_times(done.out) == self.table


def write(folder: Path, recipe: str) -> None:
    """Put a recipe into a folder."""
    folder.mkdir(exist_ok=True)
    (folder / RECIPE).write_text(recipe, encoding="utf-8")


def moments(server: ForkServer, table: SmallTable, folder: Path) -> list[int]:
    """Numbers of a command's operations on files at which a fault is tried: all but the middle of rows of writes."""
    write(folder, table.recipe)
    log = folder / "operations"
    server.run(ABLATE, folder, faults={"count_to": str(log)})
    shutil.rmtree(folder / "runs")
    names = ["start", *log.read_text(encoding="utf-8").split(), "end"]
    inside = {number for number in range(1, len(names) - 1) if set(names[number - 1 : number + 2]) == {"write"}}
    found = [number for number in range(1, len(names) - 1) if number not in inside]
    assert len(found) > 40
    return found
