"""The options of a verb whose runs can be spread over a cluster."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dit_bench.cli.options import refuse_options

if TYPE_CHECKING:
    from dit_bench.cli.cluster_view import PlainFanOutReporter
    from dit_bench.engine.cluster.request import ClusterRequest
    from dit_bench.recipes.resolve import ResolvedRow
    from dit_bench.recipes.settings import RuntimeSettings
    from dit_bench.runs.store import RunStore

Body = TypeVar("Body", bound=Callable[..., Any])
_positive = click.IntRange(min=1)
_OPTIONS = (
    click.option(
        "--cluster",
        type=click.Choice(["slurm", "local"]),
        help="Each run as a job of its own: of Slurm, or a process of this machine.",
    ),
    click.option("--partition", metavar="NAME", help="Slurm: the partition."),
    click.option(
        "--time-min",
        type=_positive,
        metavar="MINUTES",
        help="Then a job saves and is queued anew; 240 on Slurm, no limit on this machine.",
    ),
    click.option("--cpus", type=_positive, metavar="N", help="Cores of a job, and its threads."),
    click.option("--gpus", type=click.IntRange(min=0), metavar="N", help="GPUs of a job."),
    click.option("--mem-gb", type=click.FloatRange(min=0, min_open=True), metavar="GB", help="Slurm: memory of a job."),
    click.option(
        "--max-jobs", type=_positive, metavar="N", help="Jobs at the same time; what fits on this machine by default."
    ),
    click.option(
        "--restarts",
        type=click.IntRange(min=0),
        default=2,
        show_default=True,
        metavar="N",
        help="So often a crashed run is started again; interrupted ones always go on.",
    ),
    click.option(
        "--slurm",
        "slurm_options",
        multiple=True,
        metavar="KEY=VALUE",
        help="Any other option of sbatch, as account=vision; repeatable.",
    ),
    click.option("--poll", type=click.FloatRange(min=0.1), metavar="SECONDS", help="Time between looks at the jobs."),
    click.option("--cancel-on-exit", is_flag=True, help="Ctrl-C cancels the jobs; otherwise they go on."),
)


def cluster_options(body: Body) -> Body:
    """Add --cluster and what belongs to it; the verb receives the request as `cluster`, None without --cluster."""

    @functools.wraps(body)
    def with_cluster(
        cluster: str | None,
        partition: str | None,
        time_min: int | None,
        cpus: int | None,
        gpus: int | None,
        mem_gb: float | None,
        max_jobs: int | None,
        restarts: int,
        slurm_options: tuple[str, ...],
        poll: float | None,
        cancel_on_exit: bool,
        **rest: Any,
    ) -> Any:
        of_slurm = {"--partition": partition, "--mem-gb": mem_gb, "--slurm": slurm_options}
        of_jobs = {"--time-min": time_min, "--cpus": cpus, "--gpus": gpus is not None, "--max-jobs": max_jobs}
        of_jobs |= {"--poll": poll, "--cancel-on-exit": cancel_on_exit}
        if cluster is None:
            refuse_options(of_slurm | of_jobs, "means something only with --cluster")
            return body(cluster=None, **rest)
        if cluster == "local":
            refuse_options(of_slurm, "means something only with --cluster slurm")
        from dit_bench.engine.cluster.request import ClusterRequest
        from dit_bench.engine.cluster.slurm_parameters import parse_slurm_options

        request = ClusterRequest(
            cluster="slurm" if cluster == "slurm" else "local",
            partition=partition,
            time_min=time_min,
            cpus=cpus,
            gpus=gpus,
            mem_gb=mem_gb,
            max_jobs=max_jobs,
            restarts=restarts,
            cancel_on_exit=cancel_on_exit,
            poll_seconds=poll,
            slurm=parse_slurm_options(slurm_options),
        )
        return body(cluster=request, **rest)

    decorated: Any = with_cluster
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def run_on_cluster(
    rows: list[ResolvedRow], request: ClusterRequest, store: RunStore, runtime: RuntimeSettings
) -> PlainFanOutReporter:
    """Bring all runs of the rows to an end as jobs; returns the reporter, which knows what failed.

    What needs no data is refused before the first job is submitted.
    """
    from dit_bench.cli.cluster_view import watching
    from dit_bench.cli.progress import PlainReporter
    from dit_bench.engine.build import check_model_name
    from dit_bench.engine.cluster.fan_out import FanOut, failure
    from dit_bench.engine.cluster.submission import JOBS_FOLDER, submitter
    from dit_bench.engine.tasks import TASKS
    from dit_bench.recipes.resolve import planned_runs
    from dit_bench.runs.plan import plan_steps

    steps = plan_steps(planned_runs(rows))
    place = submitter(request, store.root, runtime.threads, runtime.device)
    for step in steps:
        if store.find(step.settings, step.seed) is None:
            check_model_name(step.settings.model.name)
            TASKS[step.settings.task].check(step.settings)
    with watching(store.root / JOBS_FOLDER) as reporter:
        fan_out = FanOut(steps, store, runtime, request, place, reporter, PlainReporter())
        reporter.failure = failure(fan_out.execute())
    return reporter
