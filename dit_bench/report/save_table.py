"""Writes a table to a file whose suffix says the format."""

from collections.abc import Callable
from pathlib import Path

from dit_bench.report.cells import Table
from dit_bench.report.files import written_aside
from dit_bench.report.render_csv import render_csv
from dit_bench.report.render_json import render_json
from dit_bench.report.render_latex import render_latex
from dit_bench.report.render_markdown import render_markdown

TABLE_RENDERERS: dict[str, Callable[[Table], str]] = {
    ".md": render_markdown,
    ".csv": render_csv,
    ".tex": render_latex,
    ".json": render_json,
}


def save_table(table: Table, path: Path, *, force: bool = False) -> Path:
    """Write `table` as Markdown, CSV, LaTeX or JSON and return `path`; an existing file is replaced only with `force`.

    Raises UsageError for another suffix, an existing file, or a path that cannot be written.
    """
    with written_aside(path, tuple(TABLE_RENDERERS), force=force) as aside:
        aside.write_text(TABLE_RENDERERS[path.suffix.lower()](table), encoding="utf-8")
    return path
