"""Writes figures as PNG, SVG or PDF, the same bytes for the same figure."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from dit_bench.report.figures.style import figure_style
from dit_bench.report.files import written_aside

FIGURE_SUFFIXES = (".png", ".svg", ".pdf")


def save_figure(figure: Figure, path: Path, *, title: str = "", command: str = "", force: bool = False) -> Path:
    """Write `figure` in the format of the suffix of `path` and return `path`.

    `title` and the `command` that makes the figure go into the file's metadata, which holds no date. Raises UsageError
    for another suffix, an existing file without `force`, or a path that cannot be written.
    """
    with written_aside(path, FIGURE_SUFFIXES, force=force) as aside, figure_style():
        figure.savefig(aside, dpi=300, metadata=_metadata(path.suffix.lower(), title, command))
    return path


def _metadata(suffix: str, title: str, command: str) -> dict[str, Any]:
    """None removes an entry that matplotlib would fill with the date."""
    if suffix == ".png":
        return {"Software": "dit-bench", "Title": title, "Description": command}
    if suffix == ".svg":
        return {"Date": None, "Creator": "dit-bench", "Title": title, "Description": command}
    return {"CreationDate": None, "Creator": "dit-bench", "Title": title, "Subject": command}
