"""What a command would execute: its runs, each once and after those that it starts from, and how each one stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from dit_bench.recipes.identity import canonical_json, run_name
from dit_bench.recipes.lineage import is_trained, lineage, parent
from dit_bench.recipes.settings import RunSettings
from dit_bench.runs.read import FinishedRun
from dit_bench.runs.store import RunStore
from dit_bench.runs.unfinished import Progress, read_progress, working_process


class AskedRun(Protocol):
    """A run that a command asks for by name."""

    @property
    def settings(self) -> RunSettings:
        """What the run computes."""
        ...

    @property
    def seed(self) -> int:
        """The seed of all its random streams."""
        ...

    @property
    def row_ids(self) -> tuple[str, ...]:
        """The rows that show it."""
        ...


RunKey = tuple[str, int]


def run_key(settings: RunSettings, seed: int) -> RunKey:
    """What makes a run the same run as another."""
    return canonical_json(settings), seed


@dataclass(frozen=True)
class PlannedStep:
    """One run of a command."""

    settings: RunSettings
    seed: int
    row_ids: tuple[str, ...] = ()
    """The rows that show it; none if it is only needed as a start for others."""

    @property
    def key(self) -> RunKey:
        """What makes it the same run as another."""
        return run_key(self.settings, self.seed)

    @property
    def asked(self) -> bool:
        """Whether it is asked for by name, and not only needed as a start for others."""
        return bool(self.row_ids)

    @property
    def name(self) -> str:
        """The name of its folder."""
        return run_name(self.settings, self.seed)

    @property
    def before(self) -> str | None:
        """The name of the run whose weights it starts from."""
        settings = parent(self.settings)
        return None if settings is None else run_name(settings, self.seed)

    @property
    def trains(self) -> bool:
        """Whether it trains, and does not only evaluate its parent's weights in another way."""
        return is_trained(self.settings)


def plan_steps(asked: Sequence[AskedRun]) -> list[PlannedStep]:
    """All runs of a command in an order in which they can be executed one after the other."""
    steps: dict[RunKey, PlannedStep] = {}
    for run in asked:
        for settings in lineage(run.settings):
            steps.setdefault(run_key(settings, run.seed), PlannedStep(settings, run.seed))
    for run in asked:
        key = run_key(run.settings, run.seed)
        steps[key] = replace(steps[key], row_ids=run.row_ids)
    return list(steps.values())


StandName = Literal["found", "held", "interrupted", "open"]


@dataclass(frozen=True)
class Stand:
    """How a run stands in a results folder."""

    name: StandName
    """`found`: finished. `held`: a process works on it. `interrupted`: it goes on from `progress`. `open`: new."""
    run: FinishedRun | None = None
    holder: str = ""
    """Id of the process that works on it."""
    progress: Progress | None = None


def look_up(step: PlannedStep, store: RunStore) -> Stand:
    """How a run stands; nothing is changed."""
    run = store.find(step.settings, step.seed)
    if run is not None:
        return Stand("found", run=run)
    folder = store.interrupted(step.settings, step.seed)
    progress = None if folder is None else read_progress(folder)
    holder = working_process(store.root, step.name)
    if holder is not None:
        return Stand("held", holder=holder, progress=progress)
    return Stand("interrupted" if progress else "open", progress=progress)
