"""Every slip of one character in any key of any shipped recipe is refused, with the right suggestion."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dit_bench.recipes import names
from dit_bench.recipes.load import checked, load_recipe
from dit_bench.recipes.problems import KeyPath, RecipeError, model_at
from dit_bench.recipes.schema import Fragment, Recipe
from dit_bench.recipes.yaml_data import YamlSource, read_yaml

ROOT = names.recipes_root()
FILES = sorted(ROOT.rglob("*.yaml"))
INCLUDED_BY = {
    "base/pvt": "pvt/table2",
    "base/coco": "pvt/table8",
    "base/detection": "dit/fig4_detection",
    "base/digit_detection": "dit/fig4_detection",
    "base/pvt_detection": "pvt/table8",
    "base/ade20k": "pvt/table7",
    "base/segmentation": "dit/table5",
    "base/dtop": "dtop/table1",
}


def _model(path: Path) -> type[Fragment] | type[Recipe]:
    return Fragment if path.parent.name == names.SHARED_FOLDER else Recipe


def _mappings(data: Any, path: KeyPath) -> Iterator[tuple[dict[str, Any], KeyPath]]:
    if isinstance(data, dict):
        yield data, path
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for step, child in list(children):
        yield from _mappings(child, (*path, step))


def _kind(path: KeyPath) -> KeyPath:
    """Where a mapping stands, whichever row it belongs to: the same keys are the same everywhere in a file."""
    return tuple("*" if isinstance(step, int) else step for step in path)


def _little_more_than(data: dict[str, Any], path: KeyPath) -> tuple[dict[str, Any], KeyPath]:
    """The data with one entry in each list of the file, that on the way to `path`, and the path there: checked fast."""
    cut = {name: value[:1] if isinstance(value, list) else value for name, value in data.items()}
    if len(path) < 2 or not isinstance(path[1], int):
        return cut, path
    name, index = str(path[0]), path[1]
    return {**cut, name: [data[name][index]]}, (name, 0, *path[2:])


def _slips(key: str) -> set[str]:
    places = range(len(key))
    deleted = {key[:at] + key[at + 1 :] for at in places}
    doubled = {key[: at + 1] + key[at:] for at in places}
    swapped = {key[:at] + key[at + 1] + key[at] + key[at + 2 :] for at in places[:-1]}
    replaced = {key[:at] + letter + key[at + 1 :] for at in places for letter in "xe_"}
    return (deleted | doubled | swapped | replaced) - {key}


def _refusal(model: type[Fragment] | type[Recipe], source: YamlSource) -> RecipeError:
    # pytest.raises would be most of the time of these thousands of checks.
    try:
        checked(model, source)
    except RecipeError as error:
        return error
    raise AssertionError("not refused")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_slip_in_a_key_is_refused_with_the_right_name(path: Path) -> None:
    model = _model(path)
    source = read_yaml(path, path.name)
    checked(model, source)
    slips, seen = 0, set()
    for mapping, at in _mappings(source.data, ()):
        for key in list(mapping):
            if (*_kind(at), key) in seen:
                continue
            seen.add((*_kind(at), key))
            original = dict(mapping)
            group = model_at(model, at)
            assert group is not None
            for slip in _slips(key):
                assert slip not in group.model_fields, f"{slip} is another key: choose names further apart"
                mapping.clear()
                mapping.update({slip if name == key else name: value for name, value in original.items()})
                data, there = _little_more_than(source.data, at)
                refused = _refusal(model, YamlSource(source.shown, data, {(*there, slip): source.lines[(*at, key)]}))
                assert f"'{key}'" in (refused.remedy or ""), f"{slip}: {refused}"
                assert refused.line == source.lines[(*at, key)]
                assert "unknown key" in refused.message
                slips += 1
            mapping.clear()
            mapping.update(original)
    assert slips > 100


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_slips_in_files_are_refused_by_loading(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same through the whole loader, in the file itself or in what includes it: the first keys of lines."""
    copy = tmp_path / "recipes"
    shutil.copytree(ROOT, copy)
    monkeypatch.setattr(names, "recipes_root", lambda: copy)
    target = copy / path.relative_to(ROOT)
    entry = path.relative_to(ROOT).with_suffix("").as_posix()
    if _model(path) is Fragment:
        entry = INCLUDED_BY.get(entry, "dit/table6")
    lines = path.read_text(encoding="utf-8").splitlines()
    lines_with_keys = set(read_yaml(path, path.name).lines.values())
    tried: set[tuple[int, str]] = set()
    for number, line in enumerate(lines):
        key, colon, _ = line.lstrip(" -{").partition(":")
        if not colon or number + 1 not in lines_with_keys or " " in key or (line.index(key), key) in tried:
            continue
        mutated = [*lines[:number], line.replace(key, key[1:] or "x", 1), *lines[number + 1 :]]
        target.write_text("\n".join(mutated), encoding="utf-8")
        with pytest.raises(RecipeError) as caught:
            load_recipe(entry)
        assert str(caught.value).startswith(f"recipes/{path.relative_to(ROOT).as_posix()}:{number + 1}: ")
        assert f"'{key}'" in (caught.value.remedy or "")
        tried.add((line.index(key), key))
    assert len(tried) > 4
