"""Files of an older format are brought up to date as they are read, one version at a time; newer ones are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dit_bench.errors import DataError

Document = dict[str, Any]
Step = Callable[[Document], Document]
"""Takes a document of version n and returns the same of version n + 1, its `schema_version` apart."""

VERSION_KEY = "schema_version"


@dataclass(frozen=True)
class Format:
    """A kind of result file: which versions of it there have been, and how one becomes the next."""

    name: str
    """What messages call such a file."""
    steps: tuple[Step, ...] = ()
    """From version `oldest` to the next, and so on: as many as the newest version is above the oldest."""
    oldest: int = 1
    """The oldest version that can still be read."""

    @property
    def newest(self) -> int:
        """The version that this dit-bench writes, and the newest that it reads."""
        return self.oldest + len(self.steps)


def upgraded(document: Document, form: Format, file: Path) -> Document:
    """A document of `form` in its newest version, read from `file`; the one given is left as it is.

    Raises DataError for a version that is newer than this dit-bench, that nothing leads on from, or that is none.
    """
    version = document.get(VERSION_KEY)
    if not isinstance(version, int) or isinstance(version, bool):
        stated = f"{VERSION_KEY} = {version!r} is no version" if VERSION_KEY in document else f"no {VERSION_KEY}"
        raise DataError(f"{file}: damaged: {stated}", remedy=f"expected {form.name} of version {form.newest}")
    if version > form.newest:
        raise DataError(
            f"{file}: written by a newer dit-bench ({VERSION_KEY} {version}, this one reads up to {form.newest})",
            remedy="update dit-bench",
        )
    if version < form.oldest:
        raise DataError(
            f"{file}: {VERSION_KEY} {version} can no longer be read: nothing leads from it to version {form.newest}",
            remedy="make the file again",
        )
    for number in range(version, form.newest):
        document = {**form.steps[number - form.oldest](document), VERSION_KEY: number + 1}
    return document


def _record_1_to_2(record: Document) -> Document:
    """More provenance. Version 1 knew neither plug-ins nor training on several processes; the rest is unknown."""
    provenance = record.get("provenance")
    if not isinstance(provenance, dict):
        return record
    known = {"plugins": {}, "processes": 1}
    unknown = {"code_sha256": None, "evaluation_manifest_sha256": None, "starts_from": None}
    return {**record, "provenance": {**provenance, **known, **unknown}}


RUN_RECORD = Format("the record of a run", (_record_1_to_2,))
"""`run.json`. The arrays beside it have no version of their own: they are of their record's."""
