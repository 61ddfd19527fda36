"""The store of runs: finished folders never change, an unfinished one belongs to one process at a time."""

from __future__ import annotations

import fcntl
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from dit_bench.errors import DataError, UsageError
from dit_bench.recipes.identity import canonical_json, run_name
from dit_bench.recipes.settings import RunSettings
from dit_bench.runs.atomic import ASIDE_PREFIX, sync_folder, write_text, writing_to
from dit_bench.runs.read import PARTIAL_SUFFIX, RECORD_FILE, SET_ASIDE_SUFFIX, STATE_FILE, FinishedRun, load_run
from dit_bench.runs.record import RunRecord

HOLDER_SECONDS = 1.0
"""How long to wait for a process that has just taken a lock to say who it is."""
LOCKS_FOLDER = ".locks"
_REMEDY = "free some space, or choose another folder with --results DIR"


class FinishedMeanwhileError(UsageError):
    """Another process finished the run between looking for it and taking hold of its folder."""

    def __init__(self, run: FinishedRun):
        super().__init__(f"run {run.path.name} is finished", remedy="repeat it with --force")
        self.run = run


class RunStore:
    """Run folders below one results folder, by settings and seed."""

    def __init__(self, root: Path):
        self.root = root

    def find(self, settings: RunSettings, seed: int) -> FinishedRun | None:
        """The finished run with these settings and seed, the newest of its repeats; None when there is none.

        Settings that have no effect may differ.

        A folder that cannot be read, or that holds another run, does not count.
        """
        name, wanted = run_name(settings, seed), canonical_json(settings)
        for folder in reversed(_repeats(self.root, name)):
            try:
                run = load_run(folder)
            except DataError:
                continue
            if run.record.seed == seed and canonical_json(run.record.settings) == wanted:
                return run
        return None

    def interrupted(self, settings: RunSettings, seed: int) -> Path | None:
        """The folder of a begun and unfinished run, which `begin` would pick up; None when there is none."""
        partial = self._partial(run_name(settings, seed))
        return partial if partial.is_dir() else None

    def begin(self, settings: RunSettings, seed: int, *, force: bool = False) -> OpenRun:
        """Take hold of the folder of an unfinished run, made now or left by an interrupted one.

        `force` starts afresh: what an interrupted run left is set aside, not deleted. Raises UsageError naming the
        process that works on the same run, FinishedMeanwhileError when the run is finished and `force` does not ask
        for a repeat, and DataError when the results folder cannot be written.
        """
        name = run_name(settings, seed)
        with writing_to(self.root, _REMEDY):
            locks = self.root / LOCKS_FOLDER
            locks.mkdir(parents=True, exist_ok=True)
            lock = _lock(locks / f"{name}.lock", name)
        try:
            # Only whoever holds the lock can know: a moment ago the run may have been another process's.
            if not force and (run := self.find(settings, seed)) is not None:
                raise FinishedMeanwhileError(run)
            partial = self._partial(name)
            with writing_to(self.root, _REMEDY):
                if force and partial.exists():
                    partial.rename(_free(self.root, f"{name}{SET_ASIDE_SUFFIX}"))
                resumed = partial.exists()
                partial.mkdir(exist_ok=True)
                for leftover in partial.rglob(f"{ASIDE_PREFIX}*"):
                    leftover.unlink()
                sync_folder(self.root)
        except BaseException:
            _unlock(lock)
            raise
        return OpenRun(self.root, name, partial, settings, seed, resumed, lock)

    def _partial(self, name: str) -> Path:
        return self.root / f"{name}{PARTIAL_SUFFIX}"


class OpenRun:
    """The folder of a run in progress, held by this process until `publish` or `close`.

    Used as a context manager it lets go at the end; an unpublished folder stays for the next `begin`.
    """

    def __init__(
        self, root: Path, name: str, path: Path, settings: RunSettings, seed: int, resumed: bool, lock: IO[str]
    ):
        self.path = path
        """Folder to write to while the run is in progress."""
        self.settings = settings
        self.seed = seed
        self.resumed = resumed
        """Whether an interrupted run left the folder."""
        self._root = root
        self.name = name
        """What the run is called once it is finished, but for the number of a repeat."""
        self._lock = lock

    @property
    def state_file(self) -> Path:
        """Where the state for resuming lies; removed once the run is published."""
        return self.path / STATE_FILE

    def publish(self, record: RunRecord) -> FinishedRun:
        """Write run.json and give the folder its final name: the run is finished and will not change.

        An earlier run with the same settings and seed is kept; this one is then called `…-r2`, `…-r3` and so on, and
        the record's `run_id` is set to that name. Raises DataError when the disk does not take it; the unfinished
        folder then stays as it is.
        """
        assert not self._lock.closed, "published twice, or after close"
        assert (record.settings, record.seed) == (self.settings, self.seed), "the record is of another run"
        with writing_to(self.path, _REMEDY):
            self._sync_files()
            # Nobody else takes the name: the lock is on all repeats of the run.
            target = _free(self._root, self.name)
            named = record.model_copy(update={"run_id": target.name})
            write_text(self.path / RECORD_FILE, named.model_dump_json(indent=2) + "\n")
            self.path.rename(target)
            (target / STATE_FILE).unlink(missing_ok=True)
            sync_folder(self._root)
        self.path = target
        self.close()
        return FinishedRun(target, named)

    def close(self) -> None:
        """Let go of the folder; other processes may then pick it up."""
        _unlock(self._lock)

    def __enter__(self) -> OpenRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _sync_files(self) -> None:
        for file in self.path.rglob("*"):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())


def _lock(file: Path, name: str) -> IO[str]:
    """Open and lock a file until it is closed; its content is the holder's process id."""
    handle = file.open("a+", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(handle)
        handle.close()
        remedy = "wait for it, or use another folder with --results DIR"
        raise UsageError(f"run {name} is being worked on by process {holder}", remedy=remedy) from None
    except OSError:
        handle.close()
        raise
    handle.seek(0)
    handle.truncate()
    handle.write(str(os.getpid()))
    handle.flush()
    return handle


def _unlock(handle: IO[str]) -> None:
    """Let go of a lock; its file no longer names this process, which may go on with other runs."""
    with suppress(OSError, ValueError):  # closed already, or a full disk
        handle.truncate(0)
    with suppress(OSError):
        handle.close()


def _holder(handle: IO[str]) -> str:
    """The process that holds a lock, which may not have written its number yet over that of one that was killed."""
    deadline = time.monotonic() + HOLDER_SECONDS
    while True:
        handle.seek(0)
        holder = handle.read().strip()
        if _lives(holder) or time.monotonic() > deadline:
            return holder or "unknown"
        time.sleep(0.01)


def _lives(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except OSError:  # somebody else's
        return True
    return True


def _repeats(root: Path, name: str) -> list[Path]:
    """Finished folders of one run, oldest repeat first."""
    numbered = re.compile(rf"^{re.escape(name)}(?:-r(\d+))?$")
    try:
        entries = list(root.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        remedy = "choose another folder with --results DIR"
        raise DataError(f"{root}: cannot be read: {error.strerror}", remedy=remedy) from None
    found = [(int(match[1] or 1), entry) for entry in entries if (match := numbered.match(entry.name))]
    return [entry for _, entry in sorted(found)]


def _free(root: Path, name: str) -> Path:
    """The first of `name`, `name-r2`, `name-r3` … that comes after every existing one."""
    taken = _repeats(root, name)
    if not taken:
        return root / name
    newest = re.search(r"-r(\d+)$", taken[-1].name)
    return root / f"{name}-r{int(newest[1]) + 1 if newest else 2}"
