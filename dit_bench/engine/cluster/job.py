"""What a job does on its node: one run, from where it stands, and back into the queue when its time is up."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from dit_bench.engine.cluster.outcome import Outcome, write_outcome
from dit_bench.errors import BenchError, InterruptedRunError

_PREEMPTION_VARIABLE = "SUBMITIT_PREEMPT_SIGNAL"


def preemption_signal() -> signal.Signals:
    """The signal by which submitit announces the end of a job's time."""
    return signal.Signals[f"SIG{os.environ.get(_PREEMPTION_VARIABLE, 'USR2')}"]


class _Attentive:
    """A reporter that knows whether the training was asked to stop; all else goes to the one that it stands for."""

    def __init__(self, reporter: Any):
        self._reporter = reporter
        self.stopping = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reporter, name)

    def stop_requested(self) -> None:
        self.stopping = True
        self._reporter.stop_requested()


@dataclass
class RunJob:
    """One run as a job; called on the node, in a process of its own. All it holds is text, numbers and the reporter."""

    settings: str
    """`RunSettings` as JSON."""
    runtime: str
    """`RuntimeSettings` as JSON."""
    seed: int
    root: str
    """The results folder, absolute."""
    outcome_file: str
    argv: list[str]
    """The command that submitted it, for the run's provenance."""
    reporter: Any = field(repr=False)

    def __call__(self) -> None:
        """Execute the run; a failure that a user causes is one line in the log.

        When the job's time is up, or it is preempted, training saves its state after the step at hand, and the job
        goes back into the queue.
        """
        self._leave_terminal()
        sys.argv = list(self.argv)
        outcome_file = Path(self.outcome_file)
        outcome_file.unlink(missing_ok=True)
        reporter = _Attentive(self.reporter)
        time_is_up = _TimeIsUp(reporter)
        try:
            self._execute(reporter)
        except InterruptedRunError as error:
            _say(str(error))
            write_outcome(outcome_file, Outcome(error.exit_code, error.message, expected=True))
            time_is_up.requeue_if_asked()
            sys.exit(error.exit_code)
        except BenchError as error:
            _say(f"error: {error}")
            write_outcome(outcome_file, Outcome(error.exit_code, str(error), expected=True))
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            write_outcome(outcome_file, Outcome(InterruptedRunError.exit_code, "stopped at once", expected=True))
            sys.exit(InterruptedRunError.exit_code)
        except Exception as error:
            write_outcome(outcome_file, Outcome(BenchError.exit_code, f"{type(error).__name__}: {error}", False))
            raise
        write_outcome(outcome_file, Outcome(0, "finished", expected=True))

    def checkpoint(self) -> Any:
        """What goes back into the queue: the same job, since the state lies in the run's folder."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)

    def _execute(self, reporter: Any) -> None:
        from dit_bench.engine.context import JobContext
        from dit_bench.engine.jobs import run_all
        from dit_bench.recipes.settings import RunSettings, RuntimeSettings
        from dit_bench.runs.plan import PlannedStep
        from dit_bench.runs.store import RunStore

        step = PlannedStep(RunSettings.model_validate_json(self.settings), self.seed)
        runtime = RuntimeSettings.model_validate_json(self.runtime)
        run_all([step], JobContext(RunStore(Path(self.root)), runtime, reporter))

    def _leave_terminal(self) -> None:
        """Ctrl-C in the terminal of whoever watches must not reach the job."""
        if os.environ.get("SUBMITIT_EXECUTOR") == "local" and os.getpgrp() != os.getpid():
            os.setsid()


class _TimeIsUp:
    """Between submitit's signal and our training: first save, then back into the queue."""

    def __init__(self, reporter: _Attentive):
        self.reporter = reporter
        self.asked = False
        self.number = preemption_signal()
        self.requeue: Any = signal.getsignal(self.number)
        self.idle = signal.getsignal(signal.SIGTERM)
        signal.signal(self.number, self.handle)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Ask the training to stop as SIGTERM does; without one under way there is nothing to save."""
        self.asked = True
        if self.reporter.stopping:
            return
        if signal.getsignal(signal.SIGTERM) is self.idle:
            self.requeue_if_asked()
        else:
            signal.raise_signal(signal.SIGTERM)

    def requeue_if_asked(self) -> None:
        """Let submitit put the job back into the queue, which ends this process."""
        if self.asked and callable(self.requeue):
            self.requeue(self.number, None)


def _say(line: str) -> None:
    sys.stderr.write(f"{' '.join(line.split())}\n")
    sys.stderr.flush()
