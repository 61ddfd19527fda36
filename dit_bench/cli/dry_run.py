"""`--dry-run`: which runs a command would execute, where, and what each would take; nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from dit_bench.cli.console import print_json, print_table, say

if TYPE_CHECKING:
    from dit_bench.engine.cluster.request import ClusterRequest
    from dit_bench.engine.estimates import Estimate, StepEstimate
    from dit_bench.recipes.resolve import ResolvedRow
    from dit_bench.recipes.settings import RuntimeSettings
    from dit_bench.runs.plan import PlannedStep, Stand
    from dit_bench.runs.store import RunStore


def dry_run_options(body: Any) -> Any:
    """Add --dry-run and --throughput."""
    dry = click.option(
        "--dry-run", is_flag=True, help="Run nothing: list the runs, with estimates of time, memory and disk."
    )
    throughput = click.option(
        "--throughput",
        type=click.FloatRange(min=0, min_open=True),
        metavar="GMACS",
        help="With --dry-run: billions of MACs per second in training, instead of a trial step.",
    )
    return dry(throughput(body))


def show_dry_run(
    rows: list[ResolvedRow],
    store: RunStore,
    runtime: RuntimeSettings,
    *,
    force: bool,
    throughput: float | None,
    as_json: bool,
    cluster: ClusterRequest | None = None,
) -> None:
    """Print what the command without --dry-run would do."""
    from dit_bench.engine.estimates import wall_seconds
    from dit_bench.recipes.resolve import planned_runs
    from dit_bench.runs.plan import Stand, look_up, plan_steps

    steps = plan_steps(planned_runs(rows))
    stands = {step.name: look_up(step, store) for step in steps}
    if force:
        stands |= {step.name: Stand("open") for step in steps if step.row_ids}
    where, places, estimator = _place(rows, store, runtime, throughput, cluster)
    open_steps = [step for step in steps if stands[step.name].name != "found"]
    estimates = {step.name: estimator.estimate(step, stands[step.name]) for step in open_steps}
    seconds = {name: estimate.seconds.value or 0.0 for name, estimate in estimates.items()}
    totals = _totals(estimates, wall_seconds(steps, seconds, places), places)
    lines = [_line(step, stands[step.name], estimates.get(step.name), steps, where) for step in steps]
    if as_json:
        print_json({"runs": lines, "totals": totals})
        return
    print_table(f"{rows[0].recipe.name}, profile {rows[0].profile}: what would run", _HEADINGS, _cells(lines))
    _say_totals(totals, len(steps))
    _say_sources(lines)


def _place(
    rows: list[ResolvedRow],
    store: RunStore,
    runtime: RuntimeSettings,
    throughput: float | None,
    cluster: ClusterRequest | None,
) -> tuple[str, int | None, Any]:
    """Where runs would be executed, how many at a time, and who estimates what they take there."""
    from dit_bench.engine.cluster.submission import local_places
    from dit_bench.engine.devices import prepare
    from dit_bench.engine.estimates import Estimator
    from dit_bench.recipes.identity import canonical_json
    from dit_bench.recipes.resolve import resolve_rows
    from dit_bench.runs.evidence import gather_evidence

    loaded = rows[0].recipe
    everything = [*rows, *resolve_rows(loaded, [], rows[0].profile)]
    recipe = frozenset(canonical_json(row.settings) for row in everything)
    if cluster is not None and cluster.cluster == "slurm":
        kind = "cuda" if cluster.gpus or runtime.device.startswith("cuda") else "cpu"
        place = f"Slurm{f' {cluster.partition}' if cluster.partition else ''}, {kind}"
        return place, cluster.max_jobs, Estimator(gather_evidence(store.root, kind), recipe, None, throughput)
    threads = runtime.threads or (cluster.cpus if cluster else None)
    device = str(prepare(runtime.model_copy(update={"threads": threads})))
    evidence = gather_evidence(store.root, device.partition(":")[0])
    estimator = Estimator(evidence, recipe, device, throughput)
    if cluster is None:
        return device, 1, estimator
    return f"{device}, a process each", local_places(cluster, runtime.threads, runtime.device)[2], estimator


_HEADINGS = ("rows", "seed", "run", "state", "where", "minutes", "memory", "disk", "from")


def _line(
    step: PlannedStep, stand: Stand, estimate: StepEstimate | None, steps: Sequence[PlannedStep], where: str
) -> dict[str, Any]:
    line: dict[str, Any] = {
        "rows": list(step.row_ids),
        "seed": step.seed,
        "run": step.name,
        "state": stand.name,
        "epoch": None if stand.progress is None else stand.progress.epoch,
        "process": stand.holder or None,
        "starts_from": step.before,
        "needed_by": [other.name for other in steps if other.before == step.name],
        "trains": step.trains,
        "where": None if estimate is None else where,
    }
    figures: dict[str, Callable[[StepEstimate], Estimate]] = {
        "seconds": lambda found: found.seconds,
        "memory_bytes": lambda found: found.memory_bytes,
        "disk_bytes": lambda found: found.disk_bytes,
    }
    for name, of in figures.items():
        line[name] = None if estimate is None else of(estimate).value
        line[f"{name}_from"] = None if estimate is None else of(estimate).source
    return line


def _totals(estimates: dict[str, StepEstimate], wall: float, places: int | None) -> dict[str, Any]:
    every = list(estimates.values())
    memory = [found.memory_bytes.value for found in every if found.memory_bytes.value is not None]
    state = sorted((found.state_bytes for found in every), reverse=True)[: places or len(every)]
    return {
        "runs": len(every),
        "seconds": sum(found.seconds.value or 0.0 for found in every),
        "without_estimate": sum(found.seconds.value is None for found in every),
        "at_a_time": places,
        "wall_seconds": wall,
        "memory_bytes_of_one": max(memory, default=None),
        "disk_bytes": sum(found.disk_bytes.value or 0.0 for found in every),
        "disk_bytes_while_training": sum(state),
    }


def _state(line: dict[str, Any]) -> str:
    words = {"found": "finished", "held": f"being worked on by process {line['process']}", "open": "new"}
    state = words.get(line["state"]) or f"goes on after epoch {line['epoch']}"
    if line["state"] != "found" and not line["trains"]:
        state += ", only evaluated"
    if not line["rows"]:
        state += f", start for {len(line['needed_by'])}"
    return state


def _cells(lines: Sequence[dict[str, Any]]) -> list[list[str]]:
    sources = _numbers(lines)
    return [
        [
            ", ".join(line["rows"]) or "—",
            str(line["seed"]),
            line["run"],
            _state(line),
            line["where"] or "",
            _minutes(line["seconds"]) if line["where"] else "",
            _bytes(line["memory_bytes"]) if line["where"] else "",
            _bytes(line["disk_bytes"]) if line["where"] else "",
            str(sources.get(line["seconds_from"] or "", "")),
        ]
        for line in lines
    ]


def _numbers(lines: Sequence[dict[str, Any]]) -> dict[str, int]:
    """A number for each source of an estimate of time, in their order."""
    found = dict.fromkeys(line["seconds_from"] for line in lines if line["seconds_from"])
    return {source: number for number, source in enumerate(found, start=1)}


def _say_totals(totals: dict[str, Any], steps: int) -> None:
    if not totals["runs"]:
        say(f"all {steps} runs are finished")
        return
    places = totals["at_a_time"]
    at_once = "one after the other" if places == 1 else f"{places or 'all'} at a time"
    missing = f", {totals['without_estimate']} of them without an estimate" if totals["without_estimate"] else ""
    say(
        f"{totals['runs']} of {steps} runs to do{missing}: {_minutes(totals['seconds'])} min in all,"
        f" {_minutes(totals['wall_seconds'])} min {at_once}; memory of one at most"
        f" {_bytes(totals['memory_bytes_of_one'])}; disk {_bytes(totals['disk_bytes'])}, and"
        f" {_bytes(totals['disk_bytes_while_training'])} while they train"
    )


def _say_sources(lines: Sequence[dict[str, Any]]) -> None:
    for source, number in _numbers(lines).items():
        say(f"[{number}] time from {source}")
    for name, label in (("memory_bytes_from", "memory"), ("disk_bytes_from", "disk")):
        for source in dict.fromkeys(line[name] for line in lines if line[name]):
            say(f"{label} from {source}")


def _minutes(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    return f"{seconds / 60:.1f}" if seconds < 6000 else f"{seconds / 60:,.0f}"


def _bytes(count: float | None) -> str:
    if count is None:
        return "unknown"
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
