"""The census as a tree of modules with rolled-up totals, and as totals per kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from dit_bench.cost.census import Census, LayerCost
from dit_bench.cost.layers import KINDS, Kind


@dataclass(frozen=True)
class ModuleNode:
    """A module with all that is below it."""

    name: str
    """Last part of the path; "" for the model."""
    path: str
    type_name: str
    params: int
    macs_by_kind: dict[Kind, int]
    children: tuple[ModuleNode, ...]
    """Direct children in the order of definition; () where the tree was cut."""

    @property
    def macs(self) -> int:
        """MACs of all kinds."""
        return sum(self.macs_by_kind.values())


def macs_by_kind(census: Census) -> dict[Kind, int]:
    """MACs of the whole network per kind, all kinds named."""
    return {kind: census.terms[kind] for kind in KINDS}


def module_tree(census: Census, depth: int | None = None) -> ModuleNode:
    """The network as a tree; totals are of all modules below, also of those deeper than `depth` (0: the model only)."""
    children: dict[str, list[LayerCost]] = {layer.path: [] for layer in census.layers}
    for layer in census.layers[1:]:
        children[layer.path.rpartition(".")[0]].append(layer)

    def node(layer: LayerCost, level: int) -> ModuleNode:
        below = tuple(node(child, level + 1) for child in children[layer.path])
        macs: Counter[Kind] = Counter(layer.macs_by_kind)
        for child in below:
            macs.update(child.macs_by_kind)
        return ModuleNode(
            name=layer.path.rpartition(".")[2],
            path=layer.path,
            type_name=layer.type_name,
            params=layer.params + sum(child.params for child in below),
            macs_by_kind={kind: macs[kind] for kind in KINDS},
            children=below if depth is None or level < depth else (),
        )

    return node(census.layers[0], 0)
