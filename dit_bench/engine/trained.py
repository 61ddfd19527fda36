"""Finds the weights that a command speaks of: a finished run's, or a file that the user names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dit_bench.errors import UsageError, WeightsError
from dit_bench.recipes.resolve import ResolvedRow
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.store import RunStore


@dataclass(frozen=True)
class TrainedWeights:
    """Weights of one row."""

    row: ResolvedRow
    seed: int | None
    path: Path

    @property
    def name(self) -> str:
        """Row and seed, or row and file."""
        return f"{self.row.row.id} {self.path if self.seed is None else f'seed {self.seed}'}"

    def title(self, split: str) -> str:
        """What a result made with them is called."""
        made = str(self.path) if self.seed is None else f"seed {self.seed}, {self.path.parent.name}"
        return f"{self.row.recipe.name} row {self.row.row.id} on {split} ({made})"


def trained_weights(rows: Sequence[ResolvedRow], store: RunStore, checkpoint: Path | None) -> list[TrainedWeights]:
    """Weights of all rows and seeds, or the named file for the only row.

    Rows that are never run are passed over, unless no other is chosen. Raises WeightsError naming the command that
    trains what is missing; UsageError for a file and several rows, or a row whose model does not exist.
    """
    if checkpoint is not None:
        if len(rows) != 1:
            raise UsageError(f"--checkpoint {checkpoint}: {len(rows)} rows are chosen", remedy="name one with --row")
        if rows[0].row.not_implemented is not None:
            raise UsageError(f"row {rows[0].row.id} has no model: {rows[0].row.not_implemented}")
        if not checkpoint.is_file():
            raise WeightsError(
                f"--checkpoint {checkpoint}: no such file", remedy="give a .safetensors file or a PyTorch checkpoint"
            )
        return [TrainedWeights(rows[0], None, checkpoint)]
    found = []
    for row in [row for row in rows if row.row.runs] or rows:
        for seed in row.seeds:
            run = store.find(row.settings, seed)
            if run is not None:
                found.append(TrainedWeights(row, seed, run.weights_file))
        if not any(weights.row is row for weights in found):
            raise _untrained(row, store)
    return found


def one_trained_run(rows: Sequence[ResolvedRow], store: RunStore) -> tuple[ResolvedRow, FinishedRun]:
    """The finished run of the first row, of its first seed that has one; raises WeightsError if there is none."""
    return first_trained_run(rows[:1], store)


def first_trained_run(rows: Sequence[ResolvedRow], store: RunStore) -> tuple[ResolvedRow, FinishedRun]:
    """The finished run of the first row that has one; raises WeightsError if none has."""
    for row in rows:
        for seed in row.seeds:
            run = store.find(row.settings, seed)
            if run is not None:
                return row, run
    raise _untrained(rows[0], store)


def _untrained(row: ResolvedRow, store: RunStore) -> WeightsError:
    never = row.row.not_implemented or row.row.not_run
    if never is not None:
        return WeightsError(
            f"{row.recipe.name}, row {row.row.id} is never trained: {never}",
            remedy=None if row.row.not_implemented else "give weights with --checkpoint",
        )
    return WeightsError(
        f"{row.recipe.name}, row {row.row.id}, profile {row.profile}: no finished run in {store.root}",
        remedy=f"train it first: dit-bench train {row.recipe.name} --row {row.row.id} --profile {row.profile}",
    )
