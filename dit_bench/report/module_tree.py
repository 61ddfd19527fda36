"""A model as a tree of modules with their cost: for the terminal, a pipe, JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.tree import Tree

GIGA, MEGA = 1e9, 1e6


class Node(Protocol):
    """A module with all that is below it."""

    @property
    def name(self) -> str:
        """Last part of its path."""
        ...

    @property
    def path(self) -> str:
        """Dotted name inside the model."""
        ...

    @property
    def type_name(self) -> str:
        """Name of its class."""
        ...

    @property
    def params(self) -> int:
        """Parameters, those below included."""
        ...

    @property
    def macs_by_kind(self) -> Mapping[Any, int]:
        """MACs of matrix products by kind of layer, those below included."""
        ...

    @property
    def macs(self) -> int:
        """MACs of all kinds."""
        ...

    @property
    def children(self) -> Sequence[Node]:
        """Modules directly below."""
        ...


def rich_module_tree(root: Node, title: str) -> Tree:
    """The modules as a tree for the terminal; each line says its share of the model's MACs."""
    from rich.text import Text
    from rich.tree import Tree

    def label(node: Node, name: str) -> Text:
        text = Text(name, style="bold")
        text.append(f" {node.type_name}", style="dim")
        text.append(f"  {_macs(node.macs)}", style="cyan")
        text.append(f" {_share(node, root)}  {_params(node.params)}", style="dim")
        return text

    def grow(branch: Tree, node: Node) -> None:
        for child in node.children:
            grow(branch.add(label(child, child.name)), child)

    tree = Tree(label(root, title), guide_style="dim")
    grow(tree, root)
    return tree


def plain_module_tree(root: Node, title: str) -> Iterator[str]:
    """The same as indented lines, tab-separated: module, class, GMACs, share, parameters in millions."""
    yield "\t".join(("module", "class", "GMACs", "share", "parameters (M)"))

    def lines(node: Node, name: str, level: int) -> Iterator[str]:
        yield "\t".join(
            (
                f"{'  ' * level}{name}",
                node.type_name,
                f"{node.macs / GIGA:.6f}",
                _share(node, root),
                f"{node.params / MEGA:.6f}",
            )
        )
        for child in node.children:
            yield from lines(child, child.name, level + 1)

    yield from lines(root, title, 0)


def module_tree_json(root: Node) -> dict[str, Any]:
    """The tree as nested data, in MACs and parameters."""
    return {
        "name": root.name,
        "path": root.path,
        "class": root.type_name,
        "params": root.params,
        "macs": root.macs,
        "macs_by_kind": dict(root.macs_by_kind),
        "children": [module_tree_json(child) for child in root.children],
    }


def module_tree_csv(root: Node) -> str:
    """One line per module, in the order of the tree; totals include what is below."""
    kinds = list(root.macs_by_kind)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["path", "class", "params", "macs", *(f"{kind}_macs" for kind in kinds)])

    def write(node: Node) -> None:
        by_kind = [node.macs_by_kind[kind] for kind in kinds]
        writer.writerow([node.path, node.type_name, node.params, node.macs, *by_kind])
        for child in node.children:
            write(child)

    write(root)
    return buffer.getvalue()


def _macs(macs: int) -> str:
    return f"{macs / GIGA:.3f} GMACs" if macs >= 10**7 else f"{macs / MEGA:.3f} MMACs"


def _params(params: int) -> str:
    return f"{params / MEGA:.3f} M" if params >= 10**4 else f"{params:,}"


def _share(node: Node, root: Node) -> str:
    return f"{100 * node.macs / root.macs:.1f} %" if root.macs else "—"
