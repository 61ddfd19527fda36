"""Formats by suffix, the same bytes every time, nothing overwritten unasked, no global state."""

from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure
from PIL import Image

from dit_bench.errors import UsageError
from dit_bench.report.figures.save import save_figure
from dit_bench.report.figures.tradeoff import TradeoffPoint, draw_tradeoff
from dit_bench.report.statistics import Summary


def _figure() -> Figure:
    return draw_tradeoff([TradeoffPoint("One", Summary(3.8, 0.1, None, 3), Summary(83.0, 0.5, None, 3))])


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_same_bytes_in_every_format(tmp_path: Path, suffix: str, magic: bytes) -> None:
    paths = [save_figure(_figure(), tmp_path / f"{name}{suffix}", title="T", command="dit-bench plot") for name in "ab"]
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(magic)
    assert first == second
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_metadata_names_the_command(tmp_path: Path) -> None:
    path = save_figure(_figure(), tmp_path / "a.png", title="T", command="dit-bench plot tradeoff dit/table6")
    with Image.open(path) as image:
        assert image.info["Description"] == "dit-bench plot tradeoff dit/table6"
        assert "Date" not in image.info


def test_unknown_suffix_and_existing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"use one of \.png, \.svg, \.pdf"):
        save_figure(_figure(), tmp_path / "a.jpg")
    path = tmp_path / "a.png"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists"):
        save_figure(_figure(), path)
    assert path.read_text() == "mine"
    save_figure(_figure(), path, force=True)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_user_style_has_no_say_and_survives(tmp_path: Path) -> None:
    plain = save_figure(_figure(), tmp_path / "a.png").read_bytes()
    with matplotlib.rc_context({"axes.facecolor": "yellow", "savefig.dpi": 30, "font.size": 30}):
        styled = save_figure(_figure(), tmp_path / "b.png").read_bytes()
        assert matplotlib.rcParams["font.size"] == 30
    assert styled == plain
