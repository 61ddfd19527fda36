"""Finding, reading and writing baseline files, and the measurements of `dit-bench bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dit_bench.errors import DataError, UsageError
from dit_bench.recipes.problems import show_path
from dit_bench.recipes.suggest import did_you_mean
from dit_bench.runs.atomic import write_text
from dit_bench.runs.baseline import KINDS, Baseline, Machine, PositiveFinite, SpeedCase
from dit_bench.runs.record import Provenance
from dit_bench.runs.upgrade import Format, upgraded

BASELINES_FOLDER = Path("baselines")
BASELINE = Format("a baseline of dit-bench check")
_UPDATE = "dit-bench check --update RECIPE --profile PROFILE --reason TEXT"
_RESTORE = "restore the committed file, or write it anew with dit-bench check --update"


def find_baselines(folder: Path = BASELINES_FOLDER) -> list[Path]:
    """The baseline files of a project: `baselines/*.json`; UsageError when there is none."""
    found = sorted(folder.glob("*.json"))
    if not found:
        raise UsageError(f"{folder}: no baselines", remedy=f"name files, or write one with {_UPDATE}")
    return found


def load_baseline(path: Path) -> Baseline:
    """Read a baseline; DataError for one that is missing, broken, of a newer schema, or holds an unknown key."""
    data = read_object(path, _RESTORE)
    kind = data.get("kind")
    if kind not in KINDS:
        what = "no baseline: it has no key 'kind'" if kind is None else f"unknown kind of baseline {kind!r}"
        raise DataError(f"{path}: {what}", remedy=did_you_mean(str(kind), KINDS))
    return _validated(KINDS[kind], upgraded(data, BASELINE, path), path, _RESTORE)


def save_baseline(path: Path, baseline: Baseline) -> None:
    """Write a baseline as a whole or not at all; DataError if the disk does not take it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}", remedy="choose another --file") from None
    write_text(path, baseline.model_dump_json(indent=1) + "\n")


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """The JSON object in a file, its numbers finite; DataError if there is none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", remedy=did_you_mean(path.name, _neighbours(path))) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except _NotFiniteError as error:
        raise DataError(f"{path}: damaged: holds {error}, which is no number", remedy=remedy) from None
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: damaged: not valid JSON: {error.msg}", remedy=remedy) from None
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise DataError(f"{path}: damaged: not valid JSON", remedy=remedy) from None
    if not isinstance(data, dict):
        raise DataError(f"{path}: damaged: not a JSON object", remedy=remedy)
    return data


class _Loose(BaseModel):
    """A part of a measurement's file, of which only some keys matter here."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class _Timed(_Loose):
    network: str
    macs_per_image: PositiveFinite
    seconds: Annotated[list[PositiveFinite], Field(min_length=1)]


class _Comparison(_Loose):
    name: str
    image_size_px: Annotated[list[int], Field(min_length=2, max_length=2)]
    batch: int
    keep: float | None
    spread: float | None
    ours: _Timed
    baseline: _Timed


class _MeasuredOn(_Loose):
    device: str
    processor: str
    accelerator: str | None
    threads: int
    packages: dict[str, str]


class Measurement(_Loose):
    """What `dit-bench bench --out FILE.json` wrote."""

    provenance: _MeasuredOn
    compile: bool
    precision: str
    comparisons: Annotated[list[_Comparison], Field(min_length=1)]

    @property
    def machine(self) -> Machine:
        """On what it was measured."""
        return machine_of(self.provenance)

    def cases(self) -> list[SpeedCase]:
        """Its comparisons; the rounds of the two networks belong together."""
        return [
            SpeedCase(
                name=line.name,
                image_size_px=line.image_size_px,
                batch=line.batch,
                keep=line.keep,
                spread=line.spread,
                against=line.baseline.network,
                macs_per_image=line.ours.macs_per_image,
                reference_macs_per_image=line.baseline.macs_per_image,
                ratios=[own / other for own, other in zip(line.ours.seconds, line.baseline.seconds, strict=True)],
            )
            for line in self.comparisons
        ]


def load_measurement(path: Path) -> Measurement:
    """Read the JSON file of a measurement; DataError when it is none, or damaged."""
    remedy = f"measure again: dit-bench bench NAME --out {path} --force"
    data = read_object(path, remedy)
    if "comparisons" not in data:
        raise DataError(f"{path}: no measurement of dit-bench bench: it has no key 'comparisons'", remedy=remedy)
    found = _validated(Measurement, data, path, remedy)
    for number, line in enumerate(found.comparisons):
        if len(line.ours.seconds) != len(line.baseline.seconds):
            reason = f"comparisons[{number}]: the two networks were not timed in the same rounds"
            raise DataError(f"{path}: damaged: {reason}", remedy=remedy)
    return found


def machine_of(provenance: Provenance | _MeasuredOn) -> Machine:
    """On what a run or a measurement was made."""
    return Machine(
        device=provenance.device,
        processor=provenance.processor,
        accelerator=provenance.accelerator,
        threads=provenance.threads,
        torch=provenance.packages.get("torch"),
    )


class _NotFiniteError(Exception):
    pass


def _refuse(constant: str) -> float:
    raise _NotFiniteError(constant)


def _validated(model: type[Any], data: dict[str, Any], path: Path, remedy: str) -> Any:
    try:
        # Through JSON, whose mappings may have any text as key and whose integers may stand for real numbers.
        return model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        problems = sorted(error.errors(include_url=False), key=lambda found: found["type"] != "extra_forbidden")
        key, reason = show_path(tuple(problems[0]["loc"])), problems[0]["msg"]
        if problems[0]["type"] == "extra_forbidden":
            reason = "unknown key"
        raise DataError(
            f"{path}: damaged: {key}: {reason}" if key else f"{path}: damaged: {reason}", remedy=remedy
        ) from (None)


def _neighbours(path: Path) -> list[str]:
    return [found.name for found in path.parent.glob("*.json")] if path.parent.is_dir() else []
