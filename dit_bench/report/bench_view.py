"""A saved benchmark: under which conditions it was taken, by which code and machine, and what it found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dit_bench.report.numbers import MISSING
from dit_bench.report.run_view import code_text


def bench_lines(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Section, key and value: the provenance that all figures share, then a line per comparison."""
    made = document["provenance"]
    lines = [
        ("provenance", "created", made["created_utc"]),
        ("provenance", "code", code_text(made)),
        ("provenance", "command", " ".join(made["argv"])),
        ("provenance", "compiled forms", "tried" if document["compile"] else "not tried"),
        ("provenance", "precision", document["precision"]),
    ]
    for key in ("python", "platform", "device", "processor", "accelerator", "threads"):
        lines.append(("provenance", key, MISSING if made[key] is None else str(made[key])))
    lines += [("provenance", f"packages.{name}", version) for name, version in made["packages"].items()]
    lines += [("speed-up", _case(found), "; ".join(_found(found))) for found in document["comparisons"]]
    for found in document["counting"]:
        rounds = len(found["plain_seconds"])
        text = f"{_interval(found['overhead'], 100)} %, median of {rounds} rounds [95 %]"
        lines.append(("cost of counting", _case(found), text))
    return lines


def _case(found: Mapping[str, Any]) -> str:
    height, width = found["image_size_px"]
    case = f"{found['name']}, {height}x{width}, batch {found['batch']}, kept {found['kept_mean']:.2f}"
    return f"{case}, against {found['baseline']['network']}" if "baseline" in found else case


def _found(found: Mapping[str, Any]) -> Iterator[str]:
    ours, baseline = found["ours"], found["baseline"]
    yield f"real {_interval(found['real_speed_up'])}, {found['verdict']}"
    yield f"ideal {found['ideal_speed_up']:.3f}"
    if found["rho"] is not None:
        yield f"rho {_interval(found['rho'])}"
    yield f"GMACs {ours['macs_per_image'] / 1e9:.4g} and {baseline['macs_per_image'] / 1e9:.4g}"
    yield f"{ours['form']} and {baseline['form']}"
    yield f"{len(ours['seconds'])} rounds"


def _interval(estimate: Mapping[str, float], factor: float = 1.0) -> str:
    median, low, high = (factor * estimate[key] for key in ("median", "low", "high"))
    return f"{median:.3f} [{low:.3f}, {high:.3f}]"
