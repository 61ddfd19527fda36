"""The images behind two runs: the same number, the same labels, and with the same weights the same result of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dit_bench.report.check_result import CheckLine
from dit_bench.runs.baseline import BaselineRun, ImageDigest
from dit_bench.runs.baseline_runs import TRUTH_ARRAYS

Pair = tuple[BaselineRun, BaselineRun]


def check_images(row: str, pairs: Sequence[Pair]) -> list[CheckLine]:
    """The number of images, both data manifests, labels, and what was found of each image, over all seeds."""
    lines = [_num_images(row, pairs)]
    for name, manifest in _MANIFESTS.items():
        known = [pair for pair in pairs if all(manifest(run) is not None for run in pair)]
        if known:
            lines.append(_equal(row, name, known, lambda run, read=manifest: str(read(run))[:16], _DATA))
    if any(before.images is not None for before, _ in pairs):
        lines += [_labels(row, pairs), *_results(row, pairs)]
    return lines


_DATA = "the images or their labels are others"
_MANIFESTS: dict[str, Callable[[BaselineRun], str | None]] = {
    "training data": lambda run: run.data_manifest_sha256,
    "evaluation data": lambda run: run.evaluation_manifest_sha256,
}


def _num_images(row: str, pairs: Sequence[Pair]) -> CheckLine:
    wrong = [pair for pair in pairs if pair[0].num_images != pair[1].num_images]
    before, now = (wrong or pairs)[0]
    counts = str(before.num_images), str(now.num_images)
    if not wrong:
        return CheckLine(row, "num_images", "holds", len(pairs), *counts, "exact")
    note = f"seed {now.seed} was evaluated on {'fewer' if now.num_images < before.num_images else 'more'} images"
    return CheckLine(row, "num_images", "changed", len(pairs), *counts, "exact", note)


def _equal(row: str, name: str, pairs: Sequence[Pair], read: Callable[[BaselineRun], str], reason: str) -> CheckLine:
    wrong = [pair for pair in pairs if read(pair[0]) != read(pair[1])]
    before, now = (wrong or pairs)[0]
    note = f"seed {now.seed}: {reason}" if wrong else ""
    return CheckLine(row, name, "changed" if wrong else "holds", len(pairs), read(before), read(now), "exact", note)


def _labels(row: str, pairs: Sequence[Pair]) -> CheckLine:
    """Truth does not depend on weights or machines: every array of it must be the same."""
    for before, now in pairs:
        differing = _differing(before.images, now.images, lambda name: name in TRUTH_ARRAYS)
        if differing:
            note = f"seed {now.seed}: {', '.join(differing)}: {_DATA}"
            return CheckLine(row, "labels", "changed", len(pairs), "", "", "exact", note)
    return CheckLine(row, "labels", "holds", len(pairs), "same", "same", "exact")


def _results(row: str, pairs: Sequence[Pair]) -> list[CheckLine]:
    """What was found of each image, where both runs ended in the same weights; nothing where none did."""
    equal = [pair for pair in pairs if pair[0].weights_sha256 == pair[1].weights_sha256 and pair[0].weights_sha256]
    if not equal:
        return []
    problems = [(pair, reason) for pair in equal if (reason := _difference(pair))]
    allowed = "±1 image: same weights, GPU" if any(map(_on_gpu, equal)) else "exact: same weights"
    if not problems:
        return [CheckLine(row, "per image", "holds", len(equal), "same", "same", allowed)]
    (before, now), reason = problems[0]
    old, new = _shown(before.images), _shown(now.images)
    return [CheckLine(row, "per image", "changed", len(equal), old, new, allowed, f"seed {now.seed}: {reason}")]


def _difference(pair: Pair) -> str:
    """Why two runs with the same weights did not find the same; empty if they did.

    On a GPU, where sums come in changing order, one image may fall on the other side of a decision: hits may differ by
    one and MACs by the most that one image costs.
    """
    before, now = pair[0].images, pair[1].images
    if before is None:
        return ""
    if now is None:
        return "per-image records are missing"
    if not _on_gpu(pair):
        differing = _differing(before, now, lambda name: name not in TRUTH_ARRAYS)
        return f"the same weights gave other {', '.join(differing)}" if differing else ""
    for name in ("top1_hits", "top5_hits"):
        hits = getattr(before, name), getattr(now, name)
        if None not in hits and abs(hits[0] - hits[1]) > 1:
            return f"the same weights gave {hits[1]} {name}, not {hits[0]}"
    if abs(now.macs_sum - before.macs_sum) > max(before.macs_largest, now.macs_largest):
        return f"the same weights took {now.macs_sum} MACs, not {before.macs_sum}"
    return ""


def _differing(before: ImageDigest | None, now: ImageDigest | None, concerns: Callable[[str], bool]) -> list[str]:
    if before is None or now is None:
        return [] if before is None else ["per-image records are missing"]
    return [name for name, digest in before.arrays.items() if concerns(name) and now.arrays.get(name) != digest]


def _on_gpu(pair: Pair) -> bool:
    return any(run.machine.on_gpu for run in pair)


def _shown(images: ImageDigest | None) -> str:
    if images is None:
        return "—"
    hits = "" if images.top1_hits is None else f"{images.top1_hits} right, "
    return f"{hits}{images.macs_sum} MACs"
