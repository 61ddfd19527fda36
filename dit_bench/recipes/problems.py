"""What is wrong with a recipe, said in one line: file, line, key, value, what is allowed, the nearest right name."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, Protocol, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from dit_bench.errors import UsageError
from dit_bench.recipes.settings import RunSettings
from dit_bench.recipes.suggest import did_you_mean, nearest

KeyPath = tuple[str | int, ...]


class RecipeError(UsageError):
    """A recipe, or an override of it, that cannot be used."""

    def __init__(
        self,
        reason: str,
        *,
        file: str | None = None,
        line: int | None = None,
        key: str | None = None,
        remedy: str | None = None,
    ):
        place = file if line is None else f"{file}:{line}"
        super().__init__(": ".join(part for part in (place, key, reason) if part), remedy=remedy)
        self.file = file
        self.line = line
        self.key = key


class Located(Protocol):
    """Data that know in which file and line they stand."""

    @property
    def shown(self) -> str:
        """How messages call the file."""
        ...

    def line(self, path: KeyPath) -> int | None:
        """Line of a key, if there are lines."""
        ...


def show_path(path: KeyPath) -> str:
    """A key's path as people write it: `rows[0].settings.routing`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def show_value(value: object) -> str:
    """A value as it would stand in a recipe."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def recipe_error(error: ValidationError, model: type[BaseModel], source: Located) -> RecipeError:
    """The first thing wrong in data that `model` refused; a misspelt key goes before what follows from it."""
    problems = sorted(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
    problem = problems[0]
    path: KeyPath = tuple(problem["loc"])
    shown, reason, remedy = show_path(path), "", None
    if problem["type"] == "extra_forbidden":
        reason = "unknown key"
        remedy = _right_key(str(path[-1]), model_at(model, path[:-1]))
    elif problem["type"] == "missing":
        reason = "missing"
    elif problem["type"] in ("model_type", "dict_type"):
        reason = "must be a mapping of keys to values"
    elif problem["type"] == "value_error":
        reason = str(problem.get("ctx", {}).get("error"))
    else:
        shown = f"{shown} = {show_value(problem['input'])}"
        reason = re.sub(r"^(Input|String|List) should ", "must ", problem["msg"])
        expected = problem.get("ctx", {}).get("expected")
        if problem["type"] == "literal_error" and isinstance(problem["input"], str):
            near = nearest(problem["input"], re.findall(r"'([^']*)'", str(expected)))
            remedy = f"did you mean {' or '.join(map(repr, near))}?" if near else None
    return RecipeError(reason, file=source.shown, line=source.line(path), key=shown, remedy=remedy)


def model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    """The model that describes the mapping at `path` inside data of `model`; None where there is none."""
    current: Any = model
    for step in path:
        if isinstance(step, int):
            current = next(iter(get_args(_bare(current))), None)
        elif isinstance(current, type) and issubclass(current, BaseModel) and step in current.model_fields:
            current = current.model_fields[step].annotation
        else:
            return None
        current = _bare(current)
    return current if isinstance(current, type) and issubclass(current, BaseModel) else None


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted keys of all values (not groups) of a settings model."""
    for name, field in model.model_fields.items():
        inner = _bare(field.annotation)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from leaves(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def homes_of(name: str) -> list[str]:
    """Dotted keys of run settings whose last part is `name`."""
    return [key for key in leaves(RunSettings) if key.rpartition(".")[2] == name]


def _right_key(name: str, model: type[BaseModel] | None) -> str | None:
    known = list(model.model_fields) if model else []
    homes = homes_of(name)
    if homes and not nearest(name, known):
        return f"it belongs to {' or '.join(repr(home.rpartition('.')[0]) for home in homes)}"
    return did_you_mean(name, known)


def _bare(annotation: Any) -> Any:
    """A type without `Annotated` and without its `None` alternative."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return _bare(next(part for part in get_args(annotation) if part is not type(None)))
    return annotation
