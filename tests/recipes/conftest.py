from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

MINIMAL = """\
schema_version: 1
title: "A table"
kind: table
paper: {key: dit, table: "6", section: "4.4"}
common:
  optimiser: {epochs: 4}
profiles:
  smoke: {}
rows:
  - id: dynamic
    label: "Dynamic"
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Write a recipe file (by default a minimal one, with replacements) and return its path."""

    def _write(*replacements: tuple[str, str], text: str = MINIMAL, name: str = "own.yaml") -> str:
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    return _write
