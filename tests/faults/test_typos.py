"""Every slip of one character in every key of every shipped recipe is refused in its line, with the right name."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from dit_bench.recipes import names
from dit_bench.recipes.load import checked
from dit_bench.recipes.problems import KeyPath, RecipeError, model_at
from dit_bench.recipes.schema import Fragment, Recipe
from dit_bench.recipes.suggest import did_you_mean
from dit_bench.recipes.yaml_data import YamlSource, read_yaml

ROOT = names.recipes_root()
FILES = sorted(ROOT.rglob("*.yaml"))
LETTERS = string.ascii_lowercase + string.digits + "_"
OTHER_KEYS = {frozenset(("beta1", "beta2")), frozenset(("top1_percent", "top5_percent"))}
"""Pairs of keys of one mapping that are one slip apart, so that no slip between them can be told from an intention."""
IN_DOCUMENTS = 20
"""Slips tried at each place of a key in the schema."""
IN_PLACE = 4
"""Slips tried in the text of each file, through the whole loader."""


def _slips(key: str) -> set[str]:
    """All deletions, insertions, substitutions and transpositions of one character."""
    places = range(len(key))
    deleted = {key[:at] + key[at + 1 :] for at in places}
    swapped = {key[:at] + key[at + 1] + key[at] + key[at + 2 :] for at in places[:-1]}
    replaced = {key[:at] + letter + key[at + 1 :] for at in places for letter in LETTERS}
    inserted = {key[:at] + letter + key[at:] for at in range(len(key) + 1) for letter in LETTERS}
    return (deleted | swapped | replaced | inserted) - {key, ""}


def _model(path: Path) -> type[Fragment] | type[Recipe]:
    return Fragment if path.parent.name == names.SHARED_FOLDER else Recipe


@cache
def _read(path: Path) -> YamlSource:
    return read_yaml(path, path.name)


def _keys(data: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield (*path, key)
            yield from _keys(value, (*path, key))
    for index, value in enumerate(data if isinstance(data, list) else ()):
        yield from _keys(value, (*path, index))


def _only(path: KeyPath, name: str) -> Any:
    """Data with nothing but the mappings on the way to `path`, whose last key is called `name`."""
    data: Any = {name: None}
    for step in reversed(path[:-1]):
        data = [data] if isinstance(step, int) else {step: data}
    return data


def _places() -> dict[tuple[type[Fragment] | type[Recipe], KeyPath], None]:
    """Every distinct key of the shipped recipes by its place in the schema, whichever entry of a list it is in."""
    found: dict[tuple[type[Fragment] | type[Recipe], KeyPath], None] = {}
    for file in FILES:
        for path in _keys(_read(file).data):
            found[_model(file), tuple(0 if isinstance(step, int) else step for step in path)] = None
    return found


def test_every_slip_of_every_key_is_near_its_right_name_and_no_other_key() -> None:
    """Exhaustive over all slips; that a document with such a key is refused is the next test's."""
    slips, other_keys = 0, set()
    for group, key in {(_group(model, path), str(path[-1])): None for model, path in _places()}:
        assert group.model_config.get("extra") == "forbid"
        for slip in _slips(key):
            if slip in group.model_fields:
                other_keys.add(frozenset((key, slip)))
                continue
            assert f"'{key}'" in (did_you_mean(slip, group.model_fields) or ""), f"{slip} for {key}"
            slips += 1
    assert other_keys == OTHER_KEYS
    assert slips > 100_000


def test_slips_in_documents_are_refused_in_their_line() -> None:
    """Drawn slips of every key at every place where a shipped recipe has it."""
    draw = random.Random(0)
    for model, path in _places():
        key, group = str(path[-1]), _group(model, path)
        for slip in draw.sample(sorted(_slips(key) - set(group.model_fields)), k=IN_DOCUMENTS):
            source = YamlSource("recipe.yaml", _only(path, slip), {(*path[:-1], slip): 7})
            # pytest.raises would be most of the time of these many checks.
            try:
                checked(model, source)
            except RecipeError as error:
                refused = error
            else:
                raise AssertionError(f"{path}: {slip} was not refused")
            assert (refused.file, refused.line, refused.key) == ("recipe.yaml", 7, _shown((*path[:-1], slip)))
            assert "unknown key" in refused.message
            assert f"'{key}'" in (refused.remedy or ""), f"{slip} for {key}: {refused}"


def _group(model: type[Fragment] | type[Recipe], path: KeyPath) -> type[BaseModel]:
    """The model of the mapping that a key stands in."""
    group = model_at(model, path[:-1])
    assert group is not None, f"any name would be accepted at {path}"
    return group


def _shown(path: KeyPath) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_slips_in_the_text_of_files(path: Path, tmp_path: Path) -> None:
    """Drawn slips at drawn keys, inside braces too."""
    draw, original = random.Random(path.name), _read(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    tried = 0
    places = sorted((place for place in original.lines if place and isinstance(place[-1], str)), key=str)
    for place in draw.sample(places, k=min(40, len(places))):
        key, number = str(place[-1]), original.lines[place]
        group = _group(_model(path), place)
        slip = draw.choice(sorted(_slips(key) - set(group.model_fields)))
        line = lines[number - 1]
        if line.count(f"{key}:") != 1 or slip.isdigit():  # which of several would be meant; YAML's numbers are no text
            continue
        changed = [*lines[: number - 1], line.replace(f"{key}:", f"{slip}:"), *lines[number:]]
        copy = tmp_path / path.name
        copy.write_text("\n".join(changed), encoding="utf-8")
        with pytest.raises(RecipeError) as caught:
            checked(_model(path), read_yaml(copy, path.name))
        assert caught.value.line == number
        assert f"'{key}'" in (caught.value.remedy or "")
        tried += 1
        if tried == IN_PLACE:
            break
    assert tried
