"""The benchmark's results for people and programs: speed-ups beside what MACs promise, times, memory, conditions."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from dit_bench.report.bench_results import (
    BenchLine,
    Case,
    CountingLine,
    Estimate,
    Measured,
    counting_json,
    line_json,
)
from dit_bench.report.files import written_aside
from dit_bench.report.numbers import MISSING, fixed, shared_decimals, signed
from dit_bench.report.render_markdown import escape
from dit_bench.runs.record import Provenance

BENCH_SUFFIXES = (".md", ".csv", ".json")
SCHEMA_VERSION = 1
_CASE = ("model", "input", "batch", "kept")
SPEED_UP_HEADINGS = (*_CASE, "baseline", "ideal", "real [95 %]", "verdict", "rho [95 %]")
NETWORK_HEADINGS = (*_CASE, "network", "GMACs", "ms/image [95 %]", "images/s", "peak MB")
COUNTING_HEADINGS = (*_CASE, "plain ms/image", "counted ms/image", "overhead % [95 %]", "verdict")
WIDE_HEADINGS = (
    *_CASE,
    "baseline",
    "GMACs",
    "baseline GMACs",
    "ms/image [95 %]",
    "baseline ms/image [95 %]",
    "images/s",
    *SPEED_UP_HEADINGS[5:],
    "peak MB",
    "baseline peak MB",
)


@dataclass(frozen=True)
class BenchReport:
    """All lines of one measurement, and under which conditions they came about."""

    lines: Sequence[BenchLine]
    counting: Sequence[CountingLine]
    provenance: Provenance
    compiled: bool
    """Whether compiled forms were tried."""
    precision: str
    """Of the matrix products."""

    @property
    def conditions(self) -> list[tuple[str, str]]:
        """The header: name and value of everything that a time depends on."""
        made = self.provenance
        commit = f"{(made.git_commit or 'unknown')[:12]}{', with changes' if made.git_dirty else ''}"
        return [
            ("device", f"{made.device}, {made.accelerator}" if made.accelerator else made.device),
            ("CPU", made.processor),
            ("threads", str(made.threads)),
            ("torch", made.packages.get("torch", "unknown")),
            ("timm", made.packages.get("timm", "unknown")),
            ("compile", "yes" if self.compiled else "no"),
            ("precision", self.precision),
            ("commit", commit),
            ("created", made.created_utc),
        ]

    @property
    def notes(self) -> list[str]:
        """How to read the figures, and what was odd about this measurement."""
        rounds = sorted({len(line.ours.seconds) for line in self.lines})
        notes = [
            "Real speed-up: the baseline's time over ours in each round, all networks timed in turn in every round of"
            f" one process; median of {' or '.join(map(str, rounds))} rounds. Intervals are distribution-free (order"
            " statistics, binomial) and cover at least 95 %. Within noise: the interval includes 1.",
            "Ideal: ratio of executed MACs. rho = (real − 1) / (ideal − 1), left out where the ideal is within 1 % of"
            " 1; where it is below 1, a rho above 1 is a loss beyond what MACs say.",
            "Kept: share of tokens per node that images compute, mean and SD over images. Each network counts in the"
            " fastest form that was timed.",
            "Peak MB (10⁶ bytes): weights, images and the most that one forward pass holds at once.",
        ]
        restless = sum(not line.warm_up.settled for line in self.lines)
        if restless:
            notes.append(
                f"In {restless} of {len(self.lines)} comparisons two rounds never agreed within 2 % during the warm-up:"
                " the machine was not quiet."
            )
        return notes


def speed_up_cells(lines: Sequence[BenchLine]) -> list[tuple[str, ...]]:
    """A narrow table of the comparisons."""
    return [(*_case(line, line.kept_sd), _network(line.baseline), *_speed_up(line)) for line in lines]


def network_cells(lines: Sequence[BenchLine]) -> list[tuple[str, ...]]:
    """A narrow table of the networks, ours once per case and its baselines below it."""
    cells: list[tuple[str, ...]] = []
    for line in lines:
        for measured in (line.ours, line.baseline):
            cell = (*_case(line, line.kept_sd), _network(measured), *_measured(measured, line.batch))
            if cell not in cells:
                cells.append(cell)
    return cells


def counting_cells(lines: Sequence[CountingLine]) -> list[tuple[str, ...]]:
    """A table of what counting costs."""
    cells = []
    for line in lines:
        found = line.overhead
        verdict = "within noise" if found.low <= 0 <= found.high else "slower" if found.low > 0 else "faster"
        times = [_figure(_median_ms(seconds, line.batch)) for seconds in (line.plain_seconds, line.counted_seconds)]
        ends = f"[{signed(100 * found.low, 1)}, {signed(100 * found.high, 1)}]"
        cells.append((*_case(line), *times, f"{signed(100 * found.median, 1)} {ends}", verdict))
    return cells


def wide_cells(lines: Sequence[BenchLine]) -> list[tuple[str, ...]]:
    """Everything about a comparison in one line."""
    cells = []
    for line in lines:
        gmacs, ms, rate, peak = _measured(line.ours, line.batch)
        base_gmacs, base_ms, _, base_peak = _measured(line.baseline, line.batch)
        case = (*_case(line, line.kept_sd), _network(line.baseline))
        cells.append((*case, gmacs, base_gmacs, ms, base_ms, rate, *_speed_up(line), peak, base_peak))
    return cells


def bench_json(report: BenchReport) -> dict[str, Any]:
    """Everything, with the raw seconds of every round."""
    return {
        "schema_version": SCHEMA_VERSION,
        "provenance": report.provenance.model_dump(),
        "compile": report.compiled,
        "precision": report.precision,
        "notes": report.notes,
        "comparisons": [line_json(line) for line in report.lines],
        "counting": [counting_json(line) for line in report.counting],
    }


def save_bench(report: BenchReport, path: Path, *, force: bool = False) -> Path:
    """Write the report as Markdown, CSV or JSON and return `path`.

    Raises UsageError for another suffix, an existing file without `force`, or a path that cannot be written.
    """
    renderers = {".md": _markdown, ".csv": _csv, ".json": _json}
    with written_aside(path, BENCH_SUFFIXES, force=force) as aside:
        aside.write_text(renderers[path.suffix.lower()](report), encoding="utf-8")
    return path


def _json(report: BenchReport) -> str:
    return json.dumps(bench_json(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(report: BenchReport) -> str:
    """One line per comparison, plain numbers in full precision; nested JSON keys joined by underscores."""
    rows = [_flat(line_json(line)) for line in report.lines]
    conditions = dict(report.conditions)
    out = io.StringIO()
    writer = csv.DictWriter(out, [*rows[0], *conditions], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, **conditions} for row in rows)
    return out.getvalue()


_ESTIMATE = ("median", "low", "high", "coverage")


def _flat(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined, the raw seconds left out, an absent interval as four empty cells."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}_")
        elif key == "rho":
            found |= {f"{prefix}{key}_{part}": "" for part in _ESTIMATE}
        elif key == "image_size_px":
            found |= {"height_px": value[0], "width_px": value[1]}
        elif key == "seconds":
            found[f"{prefix}seconds_median"] = median(value)
        else:
            found[f"{prefix}{key}"] = "" if value is None else value
    return found


def _markdown(report: BenchReport) -> str:
    blocks = ["**Speed-up: what MACs promise, what the clock says**"]
    blocks.append("\n".join(f"- {name}: {escape(value)}" for name, value in report.conditions))
    blocks.append(_pipe_table(WIDE_HEADINGS, wide_cells(report.lines)))
    if report.counting:
        blocks += ["Cost of counting MACs per image:", _pipe_table(COUNTING_HEADINGS, counting_cells(report.counting))]
    blocks.append("\n".join(f"- {escape(note)}" for note in report.notes))
    blocks.append(f"Made with `{' '.join(report.provenance.argv)}`.")
    return "\n\n".join(blocks) + "\n"


def _pipe_table(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *([escape(cell) for cell in line] for line in cells)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _case(line: Case, kept_sd: float | None = None) -> tuple[str, ...]:
    height, width = line.image_size
    kept = fixed(line.kept_mean, 2) + (f" ± {fixed(kept_sd, 2)}" if kept_sd is not None and line.batch > 1 else "")
    return line.name, f"{height}x{width}", str(line.batch), kept


def _network(measured: Measured) -> str:
    return f"{measured.kind}, {measured.form}"


def _measured(measured: Measured, batch: int) -> tuple[str, str, str, str]:
    time, ms = measured.time, 1e3 / batch
    memory = MISSING if measured.peak_bytes is None else fixed(measured.peak_bytes / 1e6, 1)
    milliseconds = f"{_figure(ms * time.median)} [{_figure(ms * time.low)}, {_figure(ms * time.high)}]"
    return _figure(measured.macs_per_image / 1e9), milliseconds, _figure(batch / time.median), memory


def _speed_up(line: BenchLine) -> tuple[str, ...]:
    found = line.speed_up
    rho = MISSING if found.rho is None else _with_interval(found.rho, 2)
    return fixed(found.ideal, 3), _with_interval(found.real, 3), found.verdict, rho


def _with_interval(found: Estimate, decimals: int) -> str:
    return f"{fixed(found.median, decimals)} [{fixed(found.low, decimals)}, {fixed(found.high, decimals)}]"


def _median_ms(seconds: Sequence[float], batch: int) -> float:
    return 1e3 * median(seconds) / batch


def _figure(value: float) -> str:
    """A number with three significant digits at least, whole from 100 on."""
    return fixed(value, 0 if value >= 100 else shared_decimals([value]))
