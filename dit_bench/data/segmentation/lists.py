"""Lists of picture names: text files with one name a line, which say what belongs to a split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dit_bench.errors import DataError

_REMEDY = "a list has one name of a picture a line, without folder and suffix"


def read_list(path: Path) -> tuple[str, ...]:
    """Return the names that a list holds, sorted; empty lines are none.

    Raises:
        DataError: the file is missing, no text, or empty; a line is no name, or stands twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"cannot read list {path}: {error.strerror or error}", remedy="restore the file") from error
    except UnicodeDecodeError as error:
        raise DataError(f"list {path} is no text", remedy=_REMEDY) from error
    places: dict[str, int] = {}
    for place, name in enumerate((line.strip() for line in lines), start=1):
        if not name:
            continue
        if len(name.split()) > 1 or "/" in name or "\\" in name:
            raise DataError(f"list {path}, line {place}: {name[:80]!r} is no name of a picture", remedy=_REMEDY)
        if name in places:
            raise DataError(
                f"list {path} has {name} in the lines {places[name]} and {place}", remedy="name each picture once"
            )
        places[name] = place
    if not places:
        raise DataError(f"list {path} names no picture", remedy=_REMEDY)
    return tuple(sorted(places))


@dataclass(frozen=True)
class SplitNames:
    """The pictures of a split by its list."""

    names: tuple[str, ...]
    """Sorted."""
    listed: frozenset[str]
    """These and, where there is a list of it, those of the other split."""


def read_split(path: Path, counterpart: Path) -> SplitNames:
    """Return what the list of a split names; `counterpart` is the list of the other split, if there is one.

    Raises:
        DataError: a list is not sound, or both name the same picture: who trains on it must not be tested on it.
    """
    names = read_list(path)
    others = read_list(counterpart) if counterpart.is_file() else ()
    both = sorted(set(names) & set(others))
    if both:
        raise DataError(
            f"lists {path} and {counterpart} share {len(both)} pictures (first: {both[0]})",
            remedy="take each picture out of one of them",
        )
    return SplitNames(names, frozenset((*names, *others)))
