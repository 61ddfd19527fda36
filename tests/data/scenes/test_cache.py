import io
import logging
import sys
from pathlib import Path

import numpy as np
import pytest

from dit_bench.data.scenes.cache import cached_arrays, default_cache_dir

LAYOUT = {"a": (np.dtype(np.int64), (3, None))}


def make():
    return {"a": np.arange(6).reshape(3, 2)}


def refuse():
    raise AssertionError("made again although cached")


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    """One bit of the array's data is wrong."""
    middle = content.index(np.arange(6).tobytes()) + 9
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def one_array(_: bytes) -> bytes:
    """Another format of numpy's under the same name."""
    stream = io.BytesIO()
    np.save(stream, np.arange(3))
    return stream.getvalue()


@pytest.mark.parametrize("damage", [truncated, flipped, lambda _: b"", lambda _: b"no zip file at all", one_array])
def test_damaged_file_is_made_again(tmp_path, damage, caplog):
    path = tmp_path / "sub" / "x.npz"
    cached_arrays(path, LAYOUT, make)
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(cached_arrays(path, LAYOUT, make)["a"], make()["a"])
    assert str(path) in caplog.text
    np.testing.assert_array_equal(cached_arrays(path, LAYOUT, refuse)["a"], make()["a"])
    assert [file.name for file in path.parent.iterdir()] == ["x.npz"]


@pytest.mark.parametrize(
    "other",
    [{"b": np.arange(6).reshape(3, 2)}, {"a": np.arange(6.0).reshape(3, 2)}, {"a": np.arange(8).reshape(4, 2)}],
)
def test_file_with_other_arrays_is_made_again(tmp_path, other):
    np.savez(tmp_path / "x.npz", **other)
    np.testing.assert_array_equal(cached_arrays(tmp_path / "x.npz", LAYOUT, make)["a"], make()["a"])


def test_pickled_content_is_never_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    np.savez(tmp_path / "x.npz", a=np.array([Bomb()], dtype=object))
    np.testing.assert_array_equal(cached_arrays(tmp_path / "x.npz", LAYOUT, make)["a"], make()["a"])
    assert not (tmp_path / "executed").exists()


def test_folder_that_cannot_be_written_costs_only_time(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        arrays = cached_arrays(tmp_path / "file" / "x.npz", LAYOUT, make)
    np.testing.assert_array_equal(arrays["a"], make()["a"])
    assert "cannot keep" in caplog.text


def test_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", stop)
    with pytest.raises(KeyboardInterrupt):
        cached_arrays(tmp_path / "x.npz", LAYOUT, make)
    assert not list(tmp_path.iterdir())


def test_cache_folder_is_named_by_the_environment_or_the_platform(monkeypatch, tmp_path):
    monkeypatch.setenv("DIT_BENCH_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.delenv("DIT_BENCH_CACHE")
    monkeypatch.setattr(Path, "home", lambda: Path("/nobody"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache_dir() == Path("/somewhere/dit-bench")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_dir() == Path("/nobody/.cache/dit-bench")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_cache_dir() == Path("/nobody/Library/Caches/dit-bench")
