"""Which plug-ins a run uses, for its provenance."""

from __future__ import annotations

from dit_bench.plugins import Kind, Plugin, plugins
from dit_bench.recipes.resolve import LEARNED_VARIANTS
from dit_bench.recipes.settings import RunSettings


def used_plugins(settings: RunSettings) -> list[Plugin]:
    """What other packages bring to a run of these settings."""
    named: list[tuple[Kind, str]] = [("models", settings.model.name), ("datasets", settings.data.dataset)]
    if settings.routing.variant in LEARNED_VARIANTS:
        named.append(("gates", settings.routing.gate.kind))
    for metric in settings.evaluation.metrics:
        named.append(("metrics", metric))
    return [plugin for kind, name in named for plugin in plugins(kind) if plugin.name == name]


def plugin_versions(settings: RunSettings) -> dict[str, str]:
    """Versions of the packages that bring something to a run, by name."""
    return {plugin.package: plugin.version for plugin in used_plugins(settings)}
