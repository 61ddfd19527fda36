"""Names in settings to which other packages may add theirs; only the installed packages' metadata is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError, PydanticKnownError

from dit_bench.plugins import WORDS, Kind, plugin_names

OWN_DATASETS = ("digit_scenes", "imagenet", "coco", "ade20k", "pascal_context", "coco_stuff_10k")
OWN_GATES = ("linear",)
RECORDED = {"recorded": True}
"""Context of validation for records: what they name was installed once, and need not be any more."""


def _known(kind: Kind, own: tuple[str, ...]) -> Callable[[str, ValidationInfo], str]:
    def check(name: str, info: ValidationInfo) -> str:
        if name in own or info.context == RECORDED:
            return name
        known = [*own, *plugin_names(kind)]
        if name in known:
            return name
        if not known:
            reason = "no installed package has a {word} (entry points of group dit_bench.{kind})"
            raise PydanticCustomError("unknown_plugin", reason, {"word": WORDS[kind], "kind": kind})
        *first, last = map(repr, known)
        expected = f"{', '.join(first)} or {last}" if first else last
        raise PydanticKnownError("literal_error", {"expected": expected})

    return check


def _schema(kind: Kind, own: tuple[str, ...]) -> WithJsonSchema:
    described = {"type": "string", "description": f"a {WORDS[kind]} of another package (dit_bench.{kind})"}
    return WithJsonSchema({"anyOf": [{"enum": list(own)}, described]} if own else described)


DatasetName = Annotated[str, AfterValidator(_known("datasets", OWN_DATASETS)), _schema("datasets", OWN_DATASETS)]
GateName = Annotated[str, AfterValidator(_known("gates", OWN_GATES)), _schema("gates", OWN_GATES)]
MetricPluginName = Annotated[str, AfterValidator(_known("metrics", ())), _schema("metrics", ())]
