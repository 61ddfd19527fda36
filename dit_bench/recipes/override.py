"""Overrides on the command line: `key=value` with a dotted key of the run settings and a value in YAML notation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from dit_bench.recipes.partial import PartialSettings, given, nested
from dit_bench.recipes.problems import KeyPath, RecipeError, homes_of, leaves, model_at, recipe_error
from dit_bench.recipes.settings import DataSettings, RunSettings, RuntimeSettings
from dit_bench.recipes.suggest import did_you_mean, nearest, one_slip_apart
from dit_bench.recipes.yaml_data import read_value

COMMAND_LINE = "command line"


class _CommandLine:
    shown = COMMAND_LINE

    def line(self, path: KeyPath) -> None:
        return None


def parse_overrides(texts: Sequence[str]) -> dict[tuple[str, ...], Any]:
    """Values by key path, as `optimiser.lr=1e-3` or `routing.columns=[1, 2, 3]` give them.

    Raises RecipeError naming the key, the value, what is allowed and the nearest right key.
    """
    values: dict[tuple[str, ...], Any] = {}
    for text in texts:
        key, equals, written = text.partition("=")
        if not equals:
            raise _problem(f"'{text}' is not of the form key=value", "write, for example, optimiser.lr=1e-3")
        _check_key(key)
        path = tuple(key.split("."))
        if path in values:
            raise _problem(f"{key} is given twice", "give it once")
        value = read_value(written, f"{COMMAND_LINE}: {key}")
        if isinstance(value, dict):
            raise _problem(f"{key}: a value or a list is expected, not a mapping", "give each key by itself")
        values[path] = value
    try:
        return given(PartialSettings.model_validate(nested(values)))
    except ValidationError as error:
        raise recipe_error(error, RunSettings, _CommandLine()) from None


def data_settings(texts: Sequence[str]) -> DataSettings:
    """Settings of the data from overrides of keys `data.…`; raises RecipeError as `parse_overrides` does."""
    values = parse_overrides(texts)
    for path in values:
        if path[0] != "data":
            raise _problem(f"'{'.'.join(path)}' has no effect here", "only keys of the group data are used")
    try:
        return DataSettings.model_validate(nested(values).get("data", {}))
    except ValidationError as error:
        raise recipe_error(error, DataSettings, _CommandLine()) from None


def _check_key(key: str) -> None:
    known = list(leaves(RunSettings))
    if key in known:
        return
    group = model_at(RunSettings, tuple(key.split(".")))
    if group is not None:
        members = ", ".join(f"{key}.{name}" for name in leaves(group))
        raise _problem(f"'{key}' is a group of settings", f"name one of {members}")
    last = key.rpartition(".")[2]
    if last in ("seed", "seeds"):
        raise _problem(f"'{key}' is not a setting", "use the option --seed")
    if last in RuntimeSettings.model_fields:
        raise _problem(f"'{key}' does not change a result and is no setting", f"use --{last.replace('_', '-')}")
    raise _problem(f"unknown key '{key}'", _right_keys(key, known))


def _right_keys(key: str, known: list[str]) -> str | None:
    if any(one_slip_apart(key, name) for name in known):
        return did_you_mean(key, known)
    last = key.rpartition(".")[2]
    homes = homes_of(last)
    if not homes:
        if nearest(key, known):
            return did_you_mean(key, known)
        homes = [home for name in nearest(last, {name.rpartition(".")[2] for name in known}) for home in homes_of(name)]
    if not homes:
        return "'dit-bench show RECIPE' lists all keys"
    # Several groups may have a key of that name: the group that was written says which.
    meant = (nearest(key, homes) if "." in key else []) or homes
    return f"did you mean {' or '.join(map(repr, meant))}?"


def _problem(reason: str, remedy: str | None) -> RecipeError:
    return RecipeError(reason, file=COMMAND_LINE, remedy=remedy)
