"""What makes two runs the same run: their settings as canonical JSON, and its hash."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, get_args

from dit_bench.recipes.lineage import effective_pruning, is_plain_vit, is_pretrained
from dit_bench.recipes.settings import RunSettings, Task


def canonical_json(settings: RunSettings) -> str:
    """All settings, defaults included, as JSON with sorted keys and no spaces: equal settings, equal text.

    Sections of other tasks are left out, the task of classification, which was once the only one, what has no effect on
    a plain ViT in its mode of pruning, a pretraining that there is not, a number of queries that is the published one,
    and what plug-ins may change as long as there are none.
    """
    content = settings.model_dump(mode="json")
    if settings.task == "classification":
        del content["task"]
    for section in set(content) & set(get_args(Task)) - {settings.task}:
        del content[section]
    if is_plain_vit(settings):
        content["pruning"] = effective_pruning(settings.pruning).model_dump(mode="json")
    else:
        del content["pruning"]
    _forget_defaults(settings, content)
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _forget_defaults(settings: RunSettings, content: dict[str, Any]) -> None:
    """Leave out keys that came after the first runs, where they say what was so before them."""
    plain = RunSettings()
    if settings.routing.gate.kind == plain.routing.gate.kind:
        del content["routing"]["gate"]["kind"]
    if settings.evaluation == plain.evaluation:
        del content["evaluation"]
    if not is_pretrained(settings):
        del content["pretraining"]
    if settings.task == "detection" and settings.detection.num_queries is None:
        del content["detection"]["num_queries"]


def hash10(settings: RunSettings) -> str:
    """First 10 hexadecimal digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(settings).encode()).hexdigest()[:10]


def run_name(settings: RunSettings, seed: int) -> str:
    """Folder name of a run: `<model>-<variant>-<hash10>-seed<k>`."""
    model = re.sub(r"[^A-Za-z0-9_.]+", "_", settings.model.name)
    return f"{model}-{settings.routing.variant}-{hash10(settings)}-seed{seed}"
