"""Maps of classes on the page: the colours of their pixels, the legend, and the routing beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dit_bench.report.figures.panels import RoutingItem
from dit_bench.report.figures.segments import SegmentItem, draw_segments

SKY = (120, 160, 200)
NAMES = ("sky", "road", "car", "tree", "pole")


@pytest.fixture
def item() -> SegmentItem:
    """Three of five classes and a strip that is not annotated; a pole of a few pixels."""
    truth = np.zeros((60, 80), np.uint8)
    truth[30:] = 1
    truth[:, 70:] = 255
    predicted = np.zeros((60, 80), np.uint8)
    predicted[30:] = 3
    predicted[:3, :4] = 4
    return SegmentItem(np.full((60, 80, 3), SKY, np.uint8), predicted, "a.jpg", truth)


@pytest.fixture
def routing() -> RoutingItem:
    live = np.ones((4, 4), bool)
    live[3, 0] = False
    kept = {(i, j): np.ones((32 >> i, 40 >> i), bool) for i in range(4) for j in range(4)}
    return RoutingItem(np.full((128, 160, 3), SKY, np.uint8), kept, live, "not drawn", 12.34)


def _texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]]


def _legend(figure: Figure) -> dict[str, str]:
    """Colour of each entry, by the name that stands to its right."""
    width, height = figure.get_size_inches()
    found = {}
    for axes in figure.axes:
        if axes.get_gid() is not None:
            continue
        box = axes.get_position()
        right = [
            text.get_text()
            for text in figure.texts
            if abs(text.get_position()[1] - (box.y0 + box.y1) / 2) * height < 0.02
            and 0 < (text.get_position()[0] - box.x1) * width < 0.1
        ]
        (patch,) = axes.patches
        assert isinstance(patch, Rectangle)
        found[right[0]] = patch.get_facecolor()[:3]  # pyright: ignore[reportIndexIssue]
    return found


def _at(figure: Figure, kind: str, x: float, y: float) -> np.ndarray:
    """The drawn colour at a place of a picture, both from 0 to 1."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    extent = next(axes for axes in figure.axes if axes.get_gid() == kind).get_window_extent()
    row, column = len(pixels) - (extent.y1 - y * extent.height), extent.x0 + x * extent.width
    return pixels[int(row), int(column)] / 255


def test_pixels_have_the_colours_of_the_legend(item: SegmentItem) -> None:
    figure = draw_segments([item], NAMES)
    colours = _legend(figure)
    assert list(colours) == ["sky", "tree", "road", "1 further class", "not annotated"]
    assert len(set(colours.values())) == 5
    drawn = {
        ("picture", 0.5, 0.5): np.array(SKY) / 255,
        ("truth", 0.5, 0.2): colours["sky"],
        ("truth", 0.5, 0.8): colours["road"],
        ("truth", 0.95, 0.5): colours["not annotated"],
        ("prediction", 0.5, 0.2): colours["sky"],
        ("prediction", 0.5, 0.8): colours["tree"],
        ("prediction", 0.95, 0.8): colours["tree"],
        ("prediction", 0.02, 0.02): colours["1 further class"],
    }
    for place, colour in drawn.items():
        assert np.abs(_at(figure, *place) - np.array(colour)).max() < 0.01, place


def test_headings_and_the_share_of_right_pixels(item: SegmentItem) -> None:
    texts = _texts(draw_segments([item], NAMES))
    assert {"Picture", "Truth", "Prediction"} <= set(texts)
    # the upper half of 70 of 80 columns, but for 12 pixels of the pole: 2088 of 4200
    assert "a.jpg · 50 % of pixels right" in texts
    unknown = draw_segments([replace(item, truth=None)], NAMES)
    assert "a.jpg" in _texts(unknown)
    assert not {"Truth", "not annotated"} & set(_texts(unknown))
    nothing = replace(item, truth=np.full((60, 80), 255, np.uint8))
    assert "a.jpg" in _texts(draw_segments([nothing], NAMES))


def test_a_class_has_one_colour_in_all_rows(item: SegmentItem) -> None:
    other = replace(item, predicted=np.ones((60, 80), np.uint8))
    colours = _legend(draw_segments([item, other], NAMES))
    assert next(iter(colours)) == "road"
    figure = draw_segments([other, item], NAMES)
    assert _legend(figure) == colours


def test_routing_stands_beside_its_maps(item: SegmentItem, routing: RoutingItem) -> None:
    figure = draw_segments([replace(item, routing=routing), item], NAMES)
    panels = [axes.get_position() for axes in figure.axes if str(axes.get_gid()).startswith("panel-")]
    assert len(panels) == 16
    pictures = {
        kind: [axes.get_position() for axes in figure.axes if axes.get_gid() == kind]
        for kind in ("picture", "truth", "prediction")
    }
    first, second = ([pictures[kind][row] for kind in pictures] for row in (0, 1))
    # with a routing one below the other, without one side by side
    assert first[0].y0 > first[1].y1 > first[1].y0 > first[2].y1 > first[2].y0 > second[0].y1
    assert second[0].x1 < second[1].x0 < second[1].x1 < second[2].x0
    assert second[0].y0 == second[1].y0 == second[2].y0
    assert min(panel.x0 for panel in panels) > first[0].x1
    assert max(panel.x1 for panel in panels) < 1
    assert max(panel.y1 for panel in panels) == pytest.approx(first[0].y1)
    assert min(panel.y0 for panel in panels) == pytest.approx(first[2].y0)
    texts = _texts(figure)
    assert {"Stage 1", "Stride 32", "100 %", "skipped (identity)"} <= set(texts)
    assert any(text.endswith("12.3 GMACs") for text in texts)
    assert "not drawn" not in texts
    assert "Stage 1" not in _texts(draw_segments([item], NAMES))


def test_many_classes_have_different_colours_and_room() -> None:
    labels = np.arange(60, dtype=np.uint8).repeat(40).reshape(40, 60)
    names = [f"a class with a long name {number}" for number in range(60)]
    figure = draw_segments([SegmentItem(np.zeros((40, 60, 3), np.uint8), labels, "many")], names)
    colours = _legend(figure)
    assert set(colours) == set(names)
    assert len(set(colours.values())) == 60
    distances = [np.abs(np.subtract(a, b)).max() for a in colours.values() for b in colours.values() if a != b]
    assert min(distances) > 0.1
    width, height = figure.get_size_inches()
    for text in figure.texts:
        extent = text.get_window_extent()
        assert extent.x0 >= -1
        assert extent.x1 <= width * figure.dpi + 1
        assert extent.y0 >= -1
        assert extent.y1 <= height * figure.dpi + 1


def test_white_of_what_is_not_annotated_is_no_colour_of_a_class() -> None:
    labels = np.arange(60, dtype=np.uint8).repeat(40).reshape(40, 60)
    figure = draw_segments([SegmentItem(np.zeros((40, 60, 3), np.uint8), labels, "many")], [str(k) for k in range(60)])
    assert all(np.abs(np.subtract(colour, to_rgb("white"))).max() > 0.3 for colour in _legend(figure).values())
