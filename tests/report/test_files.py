"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from dit_bench.errors import UsageError
from dit_bench.report.files import check_target, written_aside


def test_nothing_is_left_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("old")

    def fail() -> None:
        with written_aside(path, (".md",), force=True) as aside:
            aside.write_text("half")
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.md"

    def race() -> None:
        with written_aside(path, (".md",), force=False) as aside:
            aside.write_text("ours")
            path.write_text("theirs")

    with pytest.raises(UsageError, match="exists"):
        race()
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_refusals_name_the_path(tmp_path: Path) -> None:
    folder = tmp_path / "b.md"
    folder.mkdir()
    with pytest.raises(UsageError, match=r"b\.md: is a folder"):
        check_target(folder, (".md",), force=True)
    (tmp_path / "file").write_text("")

    def below_a_file() -> None:
        with written_aside(tmp_path / "file" / "a.md", (".md",), force=False):
            raise AssertionError("nothing can be written here")

    with pytest.raises(UsageError, match=r"a\.md: cannot be written"):
        below_a_file()


def test_suffix_is_read_in_any_case(tmp_path: Path) -> None:
    check_target(tmp_path / "a.MD", (".md",), force=False)
