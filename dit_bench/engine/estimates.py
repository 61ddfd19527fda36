"""What runs to come will take: minutes, memory and disk, each figure with what it was reckoned from."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dit_bench.engine.trial_step import Trial, trial_step
from dit_bench.engine.workload import FORWARD_AND_BACKWARD, Workload, workload
from dit_bench.errors import BenchError, MissingExtraError
from dit_bench.models.zoo import is_routed
from dit_bench.recipes.settings import RunSettings
from dit_bench.runs.evidence import Evidence, same_settings
from dit_bench.runs.plan import PlannedStep, Stand

FLOAT_BYTES = 4
_TRAINED_COPIES = 4
"""Weights, gradients and the optimiser's two moments."""
_STATE_COPIES = 3
"""Weights and moments, as they are saved for going on."""
_SPARE = 1.3
"""Memory over what is kept for the backward pass: gradients under way and buffers of kernels."""
_SMALLEST_RECORDS = 100_000


@dataclass(frozen=True)
class Estimate:
    """A figure, None where there is nothing to reckon it from, and where it comes from."""

    value: float | None
    source: str


@dataclass(frozen=True)
class StepEstimate:
    """What one run will take."""

    seconds: Estimate
    """Of training and evaluation; what is left of them for a run that goes on."""
    memory_bytes: Estimate
    """Peak, on the device that computes."""
    disk_bytes: Estimate
    """Of the finished folder."""
    state_bytes: float = 0.0
    """Besides while it trains: the state for going on, and its successor while that is being written."""


@dataclass(frozen=True)
class _Neighbours:
    """The finished runs that are most like a run."""

    gmacs_per_second: float
    source: str
    alike: bool


@dataclass(frozen=True)
class Estimator:
    """Reckons from finished runs first, then from a trial step, or from a stated throughput."""

    evidence: Sequence[Evidence]
    """Finished runs on the kind of device that the runs to come will have."""
    recipe: frozenset[str]
    """Canonical settings of the recipe's rows."""
    device: str | None
    """The device for trial steps; None where the runs will be executed on a machine that is not this one."""
    gmacs_per_second: float | None = None
    """The stated throughput of training, in place of a trial."""
    process_bytes: float = field(default_factory=lambda: resident_bytes())
    """What a process holds before it has data and a network, as this one does now."""
    _failed: dict[str, str] = field(default_factory=dict)

    def estimate(self, step: PlannedStep, stand: Stand) -> StepEstimate:
        """What the run will take from where it stands; nothing is known of a network that cannot be built."""
        settings = step.settings
        same = same_settings(self.evidence, settings)
        try:
            work = workload(settings)
        except MissingExtraError as error:
            return _unknown(f"the network cannot be counted: it needs {error.extra}")
        except (BenchError, KeyError, ValueError) as error:
            return _unknown(f"the network cannot be counted: {error}")
        trial, why_not = self._trial(settings)
        return StepEstimate(
            self._seconds(stand, same, work, settings, trial, why_not),
            self._memory(work, settings, trial, why_not) if step.trains else self._memory_of_test(work),
            self._disk(same, settings, work),
            2 * _STATE_COPIES * FLOAT_BYTES * work.params if step.trains else 0.0,
        )

    def _seconds(
        self,
        stand: Stand,
        same: Evidence | None,
        work: Workload,
        settings: RunSettings,
        trial: Trial | None,
        why_not: str,
    ) -> Estimate:
        evaluation = self._evaluation_seconds(same, work, trial)
        progress = stand.progress
        if progress is not None and progress.images_seen and progress.seconds:
            left = max(0, work.train_images - progress.images_seen)
            return Estimate(left * progress.seconds / progress.images_seen + evaluation, "its own training so far")
        if not work.train_images:
            return Estimate(evaluation or None, "evaluation alone")
        took = same.figure("train_seconds") if same else None
        if same is not None and took is not None:
            others = f"{len(same.runs)} finished run{'s' if len(same.runs) > 1 else ''} with another seed"
            return Estimate(took + evaluation, others)
        near = self._nearest(work, settings)
        if near is not None and (near.alike or (trial is None and self.gmacs_per_second is None)):
            rate, source = near.gmacs_per_second, near.source
        elif self.gmacs_per_second is not None:
            rate, source = self.gmacs_per_second, f"{self.gmacs_per_second:g} GMACs/s as stated"
        elif trial is not None:
            rate = trial.gmacs_per_second
            shape = f"{trial.batch} images of {trial.size[0]}x{trial.size[1]} px"
            source = f"a trial step here: {rate:.3g} GMACs/s on {shape}, if the machine has nothing else to do"
        else:
            return Estimate(None, why_not)
        return Estimate(work.train_gmacs / rate + evaluation, source)

    def _nearest(self, work: Workload, settings: RunSettings) -> _Neighbours | None:
        """Training's MACs per second of the finished runs that are most like a run, of its recipe first.

        Routed and plain networks differ in speed at the same MACs: then `alike` is false, and a trial step knows more.
        """
        best: tuple[tuple[bool, bool, float], float, Evidence] | None = None
        for group in self.evidence:
            other = group.settings
            if _kind(other) != _kind(settings):
                continue
            try:
                seen = workload(other)
            except (BenchError, KeyError, ValueError):
                continue
            took, images = group.figure("train_seconds"), group.figure("images_seen")
            if not took or not images or not seen.train_images:
                continue
            rank = (
                group.canonical_json not in self.recipe,
                is_routed(other.model.name) != is_routed(settings.model.name),
                abs(math.log(seen.train_macs / work.train_macs)),
            )
            rate = FORWARD_AND_BACKWARD * images * seen.train_macs / 1e9 / took
            if best is None or rank < best[0]:
                best = rank, rate, group
        if best is None:
            return None
        rank, rate, group = best
        where = "" if rank[0] else " of this recipe"
        unlike = ", though only one of the two is routed" if rank[1] else ""
        return _Neighbours(rate, f"{group.described}{where}: {rate:.3g} GMACs/s{unlike}", alike=not rank[1])

    def _evaluation_seconds(self, same: Evidence | None, work: Workload, trial: Trial | None) -> float:
        took = same.figure("eval_seconds") if same else None
        if took is not None:
            return took
        rate = self.gmacs_per_second or (trial.gmacs_per_second if trial else None)
        return work.eval_images * work.eval_macs / 1e9 / rate if rate else 0.0

    def _memory(self, work: Workload, settings: RunSettings, trial: Trial | None, why_not: str) -> Estimate:
        fixed = _TRAINED_COPIES * FLOAT_BYTES * work.params
        if trial is None:
            return Estimate(None, f"{why_not}; weights, gradients and moments alone: {fixed / 1e9:.2g} GB")
        kept = trial.kept_bytes_per_mac * work.train_macs * settings.optimiser.batch_size
        source = "parameters x 4, and what a trial step kept for the backward pass"
        return Estimate(fixed + _SPARE * kept + self._host_bytes(settings), source + self._host_words())

    def _memory_of_test(self, work: Workload) -> Estimate:
        return Estimate(FLOAT_BYTES * work.params + self.process_bytes, "parameters, and the process itself")

    def _host_bytes(self, settings: RunSettings) -> float:
        """What a process on the CPU holds besides: the libraries, and embedded scenes."""
        if self.device is None or not self.device.startswith("cpu"):
            return 0.0
        data = settings.data
        scenes = 0 if data.dataset != "digit_scenes" else data.train_images + data.val_images
        return self.process_bytes + scenes * 3 * data.image_size_px**2

    def _host_words(self) -> str:
        return "; with the process itself and its scenes" if self.device and self.device.startswith("cpu") else ""

    def _disk(self, same: Evidence | None, settings: RunSettings, work: Workload) -> Estimate:
        if same is not None:
            return Estimate(same.disk_bytes, "the folders of runs with another seed")
        weights = FLOAT_BYTES * work.params
        alike = [group for group in self.evidence if _kind(group.settings) == _kind(settings)]
        if alike:
            most = max(group.records_bytes for group in alike)
            return Estimate(weights + most, "weights, and records as large as those of other runs")
        return Estimate(weights + _SMALLEST_RECORDS, "weights alone; records are small beside them")

    def _trial(self, settings: RunSettings) -> tuple[Trial | None, str]:
        if self.device is None:
            return None, "no comparable run, and the machine is not this one: state --throughput"
        key = settings.model.name + _kind(settings)
        if key in self._failed:
            return None, self._failed[key]
        try:
            trial = trial_step(settings, self.device)
        except (BenchError, RuntimeError, ValueError) as error:
            self._failed[key] = f"a trial step failed: {str(error).splitlines()[0]}"
            return None, self._failed[key]
        return (
            trial,
            "" if trial else "no comparable run, and a trial step here would take too long: state --throughput",
        )


def _kind(settings: RunSettings) -> str:
    """Task and head: runs of one kind differ in their backbone, and can be scaled by MACs."""
    heads = {"detection": settings.detection.detector, "segmentation": settings.segmentation.segmenter}
    widths = {"detection": settings.detection.width_divisor, "segmentation": settings.segmentation.width_divisor}
    return f"{settings.task} {heads.get(settings.task, '')} {widths.get(settings.task, '')}"


def _unknown(reason: str) -> StepEstimate:
    nothing = Estimate(None, reason)
    return StepEstimate(nothing, nothing, nothing)


def resident_bytes() -> float:
    """Memory of this process, which has imported what a training imports; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def wall_seconds(steps: Sequence[PlannedStep], seconds: dict[str, float], places: int | None) -> float:
    """When the last run ends if so many are executed at a time, in order, each after the one that it starts from.

    `seconds` holds the runs that are still to be executed, by name; `places` None sets no limit.
    """
    ends: dict[str, float] = {}
    free = [0.0] * (places or len(steps))
    for step in steps:
        if step.name not in seconds:
            continue
        earliest = ends.get(step.before or "", 0.0)
        place = min(range(len(free)), key=lambda number: max(free[number], earliest))
        ends[step.name] = free[place] = max(free[place], earliest) + seconds[step.name]
    return max(ends.values(), default=0.0)
