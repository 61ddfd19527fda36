"""Models, gates, data sets and metrics of other packages: found by their entry points, imported when they are used.

Which names exist is read from the installed packages' metadata; no package is imported for that.
"""

from __future__ import annotations

import importlib.metadata
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

from dit_bench.errors import BenchError, UsageError

Kind = Literal["models", "gates", "datasets", "metrics"]
KINDS: tuple[Kind, ...] = get_args(Kind)
WORDS: dict[Kind, str] = {"models": "model", "gates": "gate", "datasets": "data set", "metrics": "metric"}


class PluginError(UsageError):
    """Code of another package failed, or did not do what is asked of it."""


@dataclass(frozen=True)
class Plugin:
    """What an installed package offers under a name."""

    kind: Kind
    name: str
    target: str
    """The object, as `package.module:function`."""
    package: str
    version: str

    def __str__(self) -> str:
        return f"{WORDS[self.kind]} '{self.name}' of {self.origin} ({self.group}: {self.target})"

    @property
    def group(self) -> str:
        """The group of its entry point."""
        return f"dit_bench.{self.kind}"

    @property
    def origin(self) -> str:
        """Package and version."""
        return f"{self.package} {self.version}"

    def load(self) -> Callable[..., Any]:
        """The function or class behind the entry point. Raises PluginError if it cannot be imported or called."""
        if self not in _loaded:
            entry = importlib.metadata.EntryPoint(self.name, self.target, self.group)
            function = self.guarded(entry.load)
            if not callable(function):
                raise self.refusal(f"{type(function).__name__} is neither a function nor a class")
            _loaded[self] = function
        return _loaded[self]

    def call(self, *arguments: Any, **named: Any) -> Any:
        """What the function behind the entry point returns. Raises PluginError for whatever it raises."""
        return self.guarded(self.load(), *arguments, **named)

    def guarded(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call any function of the package; what it raises becomes a PluginError, but for dit-bench's own errors."""
        try:
            return function(*arguments, **named)
        except BenchError:
            raise
        except Exception as error:
            raise self.failure(error) from error

    def failure(self, error: BaseException) -> PluginError:
        """The error to raise for an exception that the package let through."""
        text = str(error).strip().partition("\n")[0]
        reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
        return PluginError(f"{self}: {reason}", remedy="the package has to be mended; --debug shows where")

    def refusal(self, reason: str) -> PluginError:
        """The error to raise for something that is not as dit-bench asks for it."""
        return PluginError(f"{self}: {reason}", remedy="the package has to be mended")


_loaded: dict[Plugin, Callable[..., Any]] = {}


def plugins(kind: Kind) -> tuple[Plugin, ...]:
    """What the installed packages offer, by name and package; a name may stand there twice."""
    return _installed(kind, tuple(sys.path))


@lru_cache
def _installed(kind: Kind, path: tuple[str, ...]) -> tuple[Plugin, ...]:
    found = [
        Plugin(kind, entry.name, entry.value, entry.dist.metadata["Name"], entry.dist.version)
        for entry in importlib.metadata.entry_points(group=f"dit_bench.{kind}")
        if entry.dist is not None
    ]
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.package)))


def plugin_names(kind: Kind) -> list[str]:
    """All names that packages offer, each once."""
    return list(dict.fromkeys(plugin.name for plugin in plugins(kind)))


def find_plugin(kind: Kind, name: str, *, also_of: str | None = None) -> Plugin | None:
    """The plug-in of a name; None if there is none.

    `also_of` says whose the name is besides (`dit-bench`, `timm`). Raises UsageError naming all origins if a name has
    several: which of them is meant must not depend on an order.
    """
    found = [plugin for plugin in plugins(kind) if plugin.name == name]
    origins = [*filter(None, [also_of]), *(plugin.origin for plugin in found)]
    if found and len(origins) > 1:
        raise UsageError(
            f"{WORDS[kind]} '{name}' has several origins: {' and '.join(origins)}",
            remedy=f"uninstall {found[-1].package}, or rename its entry point in {found[-1].group}",
        )
    return found[0] if found else None


def blamed(error: BaseException) -> PluginError | None:
    """An exception as an error of the plug-in in whose code it arose; None if no plug-in's code had been running.

    Networks run their layers through torch, so that only the traceback tells whose `forward` failed.
    """
    modules = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    for module in reversed(modules):
        of_package = [plugin for plugin in _loaded if _root(plugin.target) == _root(module)]
        if of_package:
            exact = [plugin for plugin in of_package if plugin.target.partition(":")[0] == module]
            return (exact or of_package)[0].failure(error)
    return None


def _root(target: str) -> str:
    """The package that holds a module or an object."""
    return target.partition(":")[0].partition(".")[0]
