from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dit_bench.errors import DataError, UsageError
from dit_bench.recipes.dense_settings import PruningSettings
from dit_bench.recipes.identity import run_name
from dit_bench.recipes.settings import OptimiserSettings, RunSettings
from dit_bench.runs.record import RunRecord
from dit_bench.runs.store import FinishedRun, RunStore


def _publish(store: RunStore, record: RunRecord, force: bool = False) -> FinishedRun:
    with store.begin(record.settings, record.seed, force=force) as run:
        (run.path / "epochs.jsonl").write_text("{}\n", encoding="utf-8")
        run.state_file.write_text("state", encoding="utf-8")
        return run.publish(record)


def test_a_run_is_partial_until_published(tmp_path: Path, record: RunRecord) -> None:
    store = RunStore(tmp_path / "deep" / "runs")
    name = run_name(record.settings, record.seed)
    assert store.find(record.settings, record.seed) is None
    run = store.begin(record.settings, record.seed)
    assert run.path == store.root / f"{name}.partial"
    assert not run.resumed
    assert store.interrupted(record.settings, record.seed) == run.path
    assert store.find(record.settings, record.seed) is None
    (run.path / "epochs.jsonl").write_text("{}\n", encoding="utf-8")
    run.state_file.write_text("state", encoding="utf-8")
    finished = run.publish(record)
    assert finished.path == store.root / name
    assert finished.record.run_id == name
    assert sorted(os.listdir(finished.path)) == ["epochs.jsonl", "run.json"]
    assert store.find(record.settings, record.seed) == finished
    assert store.interrupted(record.settings, record.seed) is None


def test_settings_without_effect_may_differ(tmp_path: Path, record: RunRecord) -> None:
    """A threshold means nothing to a classifier, nor to a plain ViT from which no token leaves."""
    store = RunStore(tmp_path)
    finished = _publish(store, record)
    other = record.settings.model_copy(update={"pruning": PruningSettings(threshold=0.5)})
    assert store.find(other, record.seed) == finished


def test_only_the_same_settings_and_seed_are_found(tmp_path: Path, record: RunRecord) -> None:
    store = RunStore(tmp_path)
    _publish(store, record)
    assert store.find(record.settings, record.seed + 1) is None
    other = RunSettings(optimiser=OptimiserSettings(lr=1e-4))
    assert store.find(other, record.seed) is None


def test_a_folder_with_the_name_of_another_run_is_not_taken_for_it(tmp_path: Path, record: RunRecord) -> None:
    store = RunStore(tmp_path)
    finished = _publish(store, record)
    finished.path.rename(tmp_path / run_name(record.settings, 4))
    assert store.find(record.settings, 4) is None


def test_repeats_get_numbers_and_nothing_is_overwritten(tmp_path: Path, record: RunRecord) -> None:
    store = RunStore(tmp_path)
    name = run_name(record.settings, record.seed)
    published = [_publish(store, record, force=True) for _ in range(11)]
    assert [run.path.name for run in published] == [name, *(f"{name}-r{number}" for number in range(2, 12))]
    assert [run.record.run_id for run in published] == [run.path.name for run in published]
    newest = store.find(record.settings, record.seed)
    assert newest is not None
    assert newest.path.name == f"{name}-r11"
    assert all((run.path / "run.json").exists() for run in published)


def test_a_removed_repeat_is_not_replaced_by_a_later_one(tmp_path: Path, record: RunRecord) -> None:
    store = RunStore(tmp_path)
    first, second = (_publish(store, record, force=True) for _ in range(2))
    first.path.rename(tmp_path / "elsewhere")
    assert _publish(store, record, force=True).path.name == second.path.name.replace("-r2", "-r3")


def test_a_damaged_newest_repeat_does_not_hide_the_older(tmp_path: Path, record: RunRecord) -> None:
    store = RunStore(tmp_path)
    first, second = (_publish(store, record, force=True) for _ in range(2))
    (second.path / "run.json").write_text("{", encoding="utf-8")
    assert store.find(record.settings, record.seed) == first


def test_an_interrupted_run_is_resumed(tmp_path: Path, record: RunRecord) -> None:
    store = RunStore(tmp_path)

    def stop_half_way() -> None:
        with store.begin(record.settings, record.seed) as run:
            run.state_file.write_text("half way", encoding="utf-8")
            (run.path / ".aside-0123.json").write_text("left by a killed process", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    with store.begin(record.settings, record.seed) as run:
        assert run.resumed
        assert run.state_file.read_text(encoding="utf-8") == "half way"
        assert os.listdir(run.path) == [run.state_file.name]


def test_force_starts_afresh_and_keeps_what_was_begun(tmp_path: Path, record: RunRecord) -> None:
    store = RunStore(tmp_path)
    for content in ("first", "second"):
        with store.begin(record.settings, record.seed, force=True) as run:
            assert not run.resumed
            assert os.listdir(run.path) == []
            run.state_file.write_text(content, encoding="utf-8")
    store.begin(record.settings, record.seed, force=True).close()
    kept = sorted(tmp_path.glob("*.set-aside*/state.safetensors"))
    assert [path.read_text(encoding="utf-8") for path in kept] == ["first", "second"]


def test_a_second_writer_in_this_process_is_refused(tmp_path: Path, record: RunRecord) -> None:
    store = RunStore(tmp_path)
    with store.begin(record.settings, record.seed):
        with pytest.raises(UsageError, match=rf"being worked on by process {os.getpid()}\b"):
            store.begin(record.settings, record.seed)
        with pytest.raises(UsageError):
            store.begin(record.settings, record.seed, force=True)
        store.begin(record.settings, record.seed + 1).close()
    store.begin(record.settings, record.seed).close()


def test_a_second_writer_in_another_process_is_refused_until_the_first_dies(tmp_path: Path, record: RunRecord) -> None:
    code = (
        "import sys, time; from pathlib import Path; from dit_bench.runs.store import RunStore;"
        "from dit_bench.recipes.settings import RunSettings;"
        f"run = RunStore(Path(sys.argv[1])).begin(RunSettings(), {record.seed}); print('held', flush=True);"
        "time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        store = RunStore(tmp_path)
        with pytest.raises(UsageError, match=rf"being worked on by process {process.pid}\b") as caught:
            store.begin(record.settings, record.seed)
        assert caught.value.exit_code == 2
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    with store.begin(record.settings, record.seed) as run:
        assert run.resumed


def test_a_results_folder_that_cannot_be_written_is_refused_before_work(tmp_path: Path, record: RunRecord) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for root in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(DataError, match=r"cannot be written: .* — .*--results DIR") as caught:
            RunStore(root).begin(record.settings, record.seed)
        assert caught.value.exit_code == 3
        assert RunStore(root).find(record.settings, record.seed) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_results_folder_is_refused(tmp_path: Path, record: RunRecord) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(DataError, match="Permission denied"):
            RunStore(tmp_path).begin(record.settings, record.seed)
    finally:
        tmp_path.chmod(0o700)


def test_a_full_disk_at_the_end_loses_nothing(
    tmp_path: Path, record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RunStore(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with store.begin(record.settings, record.seed) as run:
        run.state_file.write_text("state", encoding="utf-8")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(DataError, match="No space left on device"):
            run.publish(record)
    monkeypatch.undo()
    assert store.find(record.settings, record.seed) is None
    with store.begin(record.settings, record.seed) as run:
        assert run.resumed
        assert run.state_file.read_text(encoding="utf-8") == "state"
        run.publish(record)
    assert store.find(record.settings, record.seed) is not None


def test_a_refused_begin_lets_go_of_the_lock(
    tmp_path: Path, record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RunStore(tmp_path)

    def read_only(self: Path, *args: object, **kwargs: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    (tmp_path / ".locks").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("dit_bench.runs.store.sync_folder", read_only)
        with pytest.raises(DataError, match="Read-only file system"):
            store.begin(record.settings, record.seed)
    store.begin(record.settings, record.seed).close()


def test_publishing_the_record_of_another_run_is_a_defect(tmp_path: Path, record: RunRecord) -> None:
    store = RunStore(tmp_path)
    with store.begin(record.settings, 99) as run, pytest.raises(AssertionError):
        run.publish(record)
