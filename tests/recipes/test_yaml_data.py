from __future__ import annotations

from pathlib import Path

import pytest

from dit_bench.recipes.problems import RecipeError
from dit_bench.recipes.yaml_data import read_value, read_yaml


def _write(folder: Path, text: str | bytes) -> Path:
    path = folder / "file.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_plain_data_and_line_numbers(tmp_path: Path) -> None:
    text = "# comment\na: 1\nb:\n  c: 1e-3\n  d: [true, null,\n    yes]\n"
    source = read_yaml(_write(tmp_path, text), "shown.yaml")
    assert source.data == {"a": 1, "b": {"c": 0.001, "d": [True, None, "yes"]}}
    assert type(source.data["a"]) is int
    assert type(source.data["b"]["c"]) is float
    assert [source.line(path) for path in [("a",), ("b", "c"), ("b", "d", 2)]] == [2, 4, 6]
    assert source.at(("b", "c", "missing", 3)) == "shown.yaml:4"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "twice, first in line 1"),
        ("a: &x 1\nb: *x\n", 2, "aliases"),
        ("a: &x {b: *x}\n", 1, "aliases"),
        ("a: {b: 1}\nc: {<<: {d: 1}}\n", 2, "merge keys"),
        ("a: !!python/object/apply:os.system [echo]\n", 1, "is not supported"),
        ("a: !custom {}\n", 1, "!custom"),
        ("a: 1\n2: b\n", 2, "a key must be text"),
        ("a: .inf\n", 1, "finite"),
        ("a: 1e999\n", 1, "finite"),
        ("a: 2020-01-01\n", 1, "date"),
        ("a: [1, 2\nb: 3\n", 2, "not valid YAML"),
        ("a: 1\n---\nb: 2\n", 2, "not valid YAML"),
        ("- a\n", 1, "mapping"),
        ("", 1, "mapping"),
    ],
)
def test_refused_with_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_yaml(_write(tmp_path, text), "shown.yaml")
    assert caught.value.line == line
    assert str(caught.value).startswith(f"shown.yaml:{line}: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="UTF-8"):
        read_yaml(_write(tmp_path, b"a: \xff\xfe"), "shown.yaml")
    with pytest.raises(RecipeError, match="no such file"):
        read_yaml(tmp_path / "missing.yaml", "shown.yaml")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_yaml(tmp_path, "shown.yaml")
    with pytest.raises(RecipeError, match="nested too deeply"):
        read_yaml(_write(tmp_path, "a: " + "[" * 500 + "]" * 500), "shown.yaml")


def test_code_in_a_tag_is_never_run(tmp_path: Path) -> None:
    target = tmp_path / "made_by_code"
    text = f"a: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{target}']]\n"
    with pytest.raises(RecipeError):
        read_yaml(_write(tmp_path, text), "shown.yaml")
    assert not target.exists()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("[1, 2]", [1, 2]),
        ("", None),
        ("null", None),
        ("rand-m9", "rand-m9"),
        ("'3'", "3"),
        ("0x10", 16),
    ],
)
def test_single_values(text: str, value: object) -> None:
    assert read_value(text, "command line") == value
