"""YAML 1.2 as plain data with line numbers: no tags, no aliases, no duplicate keys, no code."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from dit_bench.recipes.problems import KeyPath, RecipeError, show_path

_CORE = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class YamlSource:
    """A YAML file as plain data, and the line (from 1) of every key and list item."""

    shown: str
    """How messages and origins call the file."""
    data: dict[str, Any]
    lines: dict[KeyPath, int]

    def line(self, path: KeyPath) -> int | None:
        """Line of a key, or of the nearest key around it; None where the data come from no file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)

    def at(self, path: KeyPath) -> str:
        """Where a value comes from, as `file:line`."""
        line = self.line(path)
        return self.shown if line is None else f"{self.shown}:{line}"


def read_yaml(path: Path, shown: str) -> YamlSource:
    """Read a YAML file whose top level is a mapping.

    Raises RecipeError (file, line, reason) for a file that is missing, not UTF-8, not YAML, or that holds anything but
    mappings with text keys, lists, text, finite numbers, booleans and null.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RecipeError("no such file", file=shown) from None
    except UnicodeDecodeError:
        raise RecipeError("not a text file in UTF-8", file=shown) from None
    except OSError as error:
        raise RecipeError(f"cannot be read: {error.strerror}", file=shown) from None
    data, lines = _parse(text, shown)
    if not isinstance(data, dict):
        raise RecipeError("a recipe is a mapping of keys to values", file=shown, line=1)
    return YamlSource(shown, data, lines)


def read_value(text: str, shown: str) -> Any:
    """Read one value (scalar or list) in YAML notation, as on the command line; empty text is null."""
    return _parse(text, shown, numbered=False)[0]


def _parse(text: str, shown: str, numbered: bool = True) -> tuple[Any, dict[KeyPath, int]]:
    reader = _Reader(shown, numbered)
    try:
        node = YAML(typ="safe", pure=True).compose(text)
        return (None if node is None else reader.plain(node, ())), reader.lines
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(part for part in (error.context, error.problem) if part)
        line = mark.line + 1 if mark and numbered else None
        raise RecipeError(f"not valid YAML: {reason}", file=shown, line=line) from None
    except YAMLError as error:
        raise RecipeError(f"not valid YAML: {' '.join(str(error).split())}", file=shown) from None
    except RecursionError:
        raise RecipeError("nested too deeply", file=shown) from None


class _Reader:
    """Turns composed nodes into plain data; composing instead of loading never builds an object from a tag."""

    def __init__(self, shown: str, numbered: bool):
        self.shown = shown
        self.numbered = numbered
        self.lines: dict[KeyPath, int] = {}
        self._seen: set[int] = set()

    def plain(self, node: Node, path: KeyPath) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in self._seen:
            # The node is the anchor's; the line at fault is that of the key whose value it was to become.
            line = self.lines[path] if self.numbered else None
            remedy = "repeat the value, or share it with include"
            raise RecipeError(
                "aliases are not supported", file=self.shown, line=line, key=show_path(path), remedy=remedy
            )
        self._seen.add(id(node))
        if isinstance(node, MappingNode) and node.tag == _CORE + "map":
            return self._mapping(node, path)
        if isinstance(node, SequenceNode) and node.tag == _CORE + "seq":
            return [self.plain(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        raise self._error(node, path, f"the tag {node.tag} is not supported", "recipes are plain data")

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _CORE + "merge":
                raise self._error(key_node, path, "merge keys (<<) are not supported", "share settings with include")
            if not isinstance(key_node, ScalarNode) or key_node.tag != _CORE + "str":
                raise self._error(key_node, path, f"a key must be text, not {key_node.value!r}", "put it in quotes")
            key = key_node.value
            key_path = (*path, key)
            if key in mapping:
                reason = f"the key stands twice, first in line {self.lines[key_path]}"
                raise self._error(key_node, key_path, reason, "remove one of them")
            self.lines[key_path] = key_node.start_mark.line + 1
            mapping[key] = self.plain(value_node, key_path)
        return mapping

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        kind, text = node.tag.removeprefix(_CORE), node.value
        if kind == "str":
            return text
        if kind == "null":
            return None
        try:
            if kind == "bool":
                return {"true": True, "false": False}[text.lower()]
            if kind == "int":
                return int(text, 0) if text.lower().startswith(("0x", "0o")) else int(text)
            if kind == "float":
                return self._finite(float(text.lower().replace(".inf", "inf").replace(".nan", "nan")))
        except (KeyError, ValueError):
            raise self._error(node, path, f"{text!r} is not a finite number or true/false", None) from None
        if kind == "timestamp":
            raise self._error(node, path, f"{text!r} would be read as a date", "put it in quotes to make it text")
        raise self._error(node, path, f"the tag {node.tag} is not supported", "recipes are plain data")

    @staticmethod
    def _finite(number: float) -> float:
        if not math.isfinite(number):
            raise ValueError(number)
        return number

    def _error(self, node: Node, path: KeyPath, reason: str, remedy: str | None) -> RecipeError:
        line = node.start_mark.line + 1 if self.numbered else None
        return RecipeError(reason, file=self.shown, line=line, key=show_path(path), remedy=remedy)
