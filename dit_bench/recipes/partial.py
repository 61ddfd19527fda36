"""Some of the settings of a run, as the layers of a recipe give them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, create_model

from dit_bench.recipes.settings import RunSettings
from dit_bench.recipes.strict import Strict


def partial_model(model: type[BaseModel]) -> type[Strict]:
    """A model with the same keys and ranges of which any part may be given.

    Checks across keys are left out: they hold for the resolved whole, not for one layer of it.
    """
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            # Not `part | None`: a group may be left out (the default is not checked) but not be null.
            fields[name] = (partial_model(inner), None)
        else:
            fields[name] = (inner, field)
    return create_model(f"Partial{model.__name__}", __base__=Strict, **fields)


if TYPE_CHECKING:

    class PartialSettings(Strict):
        """Some of the keys of `RunSettings`."""
else:
    PartialSettings = partial_model(RunSettings)


def given(settings: PartialSettings) -> dict[tuple[str, ...], Any]:
    """The values that were really given, by key path."""
    return dict(_flat(settings.model_dump(exclude_unset=True), ()))


def flat(settings: RunSettings) -> dict[tuple[str, ...], Any]:
    """All values of complete settings, by key path."""
    return dict(_flat(settings.model_dump(), ()))


def nested(values: dict[tuple[str, ...], Any]) -> dict[str, Any]:
    """The inverse of flattening: values by key path as nested mappings."""
    whole: dict[str, Any] = {}
    for path, value in values.items():
        group = whole
        for step in path[:-1]:
            group = group.setdefault(step, {})
        group[path[-1]] = value
    return whole


def _flat(mapping: dict[str, Any], prefix: tuple[str, ...]) -> list[tuple[tuple[str, ...], Any]]:
    pairs: list[tuple[tuple[str, ...], Any]] = []
    for key, value in mapping.items():
        pairs += _flat(value, (*prefix, key)) if isinstance(value, dict) else [((*prefix, key), value)]
    return pairs
