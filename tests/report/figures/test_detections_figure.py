"""Detections on pictures: pixels of masks and boxes, labels that can be read, and the routing beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from dit_bench.report.figures.detections import DetectionItem, class_colours, draw_detections, paint_masks
from dit_bench.report.figures.panels import RoutingItem
from dit_bench.report.figures.style import PALETTE, SMALL

SKY = (120, 160, 200)


@pytest.fixture
def item() -> DetectionItem:
    """A plain picture with four detections, one of them below the score, and two annotated boxes."""
    boxes = np.array([[20, 30, 80, 90], [100, 40, 150, 100], [25, 35, 85, 95], [0, 0, 160, 120]], np.float32)
    masks = np.zeros((4, 120, 160), bool)
    masks[0, 40:80, 30:70] = masks[1, 50:90, 110:140] = masks[3] = True
    scores = np.array([0.91, 0.32, 0.5, 0.29], np.float32)
    names = ["dog", "traffic light", "dog", "kite"]
    return DetectionItem(np.full((120, 160, 3), SKY, np.uint8), boxes, names, scores, "a.jpg", masks, boxes[:2] + 2)


@pytest.fixture
def routing() -> RoutingItem:
    live = np.ones((4, 4), bool)
    live[3, 0] = False
    kept = {(i, j): np.ones((32 >> i, 40 >> i), bool) for i in range(4) for j in range(4)}
    return RoutingItem(np.full((128, 160, 3), SKY, np.uint8), kept, live, "not drawn", 12.34)


def _patches(figure: Figure, kind: str) -> list[Rectangle]:
    patches = [patch for axes in figure.axes if axes.get_gid() == "picture" for patch in axes.patches]
    return [patch for patch in patches if isinstance(patch, Rectangle) and patch.get_gid() == kind]


def _texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]]


def _extents(figure: Figure) -> list[Bbox]:
    return [patch.get_window_extent() for patch in _patches(figure, "label")]


def test_boxes_and_labels_that_reach_the_score(item: DetectionItem) -> None:
    figure = draw_detections([item])
    colours = class_colours(["dog", "dog", "traffic light"])
    drawn = {(patch.get_x(), patch.get_y(), patch.get_width(), patch.get_height()) for patch in _patches(figure, "box")}
    assert drawn == {(20, 30, 60, 60), (100, 40, 50, 60), (25, 35, 60, 60)}
    by_place = {patch.get_x(): patch.get_edgecolor()[:3] for patch in _patches(figure, "box")}  # pyright: ignore[reportIndexIssue]
    assert by_place == {
        20: to_rgb(colours["dog"]),
        25: to_rgb(colours["dog"]),
        100: to_rgb(colours["traffic light"]),
    }
    assert len(_patches(figure, "truth")) == 2
    texts = _texts(figure)
    assert {"dog 0.91", "dog 0.50", "traffic light 0.32", "dog", "traffic light", "annotated"} <= set(texts)
    assert "kite" not in texts
    assert "a.jpg · 3 of 4 detections score 0.30 or more" in texts
    assert len(_patches(draw_detections([item], min_score=0.0), "box")) == 4


def test_labels_cover_neither_each_other_nor_the_frame(item: DetectionItem) -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(-10, 130, (60, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 60, (60, 2))], axis=1)
    crowded = replace(item, boxes=boxes, names=["person"] * 60, scores=np.linspace(1, 0.3, 60), masks=None)
    figure = draw_detections([crowded])
    labels, picture = _extents(figure), figure.axes[0].get_window_extent()
    assert 10 < len(labels) < 60
    for k, label in enumerate(labels):
        assert picture.x0 - 1 <= label.x0
        assert label.x1 <= picture.x1 + 1
        assert picture.y0 - 1 <= label.y0
        assert label.y1 <= picture.y1 + 1
        shared = [Bbox.intersection(label, other) for other in labels[:k]]
        assert all(box is None or box.width < 1 or box.height < 1 for box in shared)
    assert "person 1.00" in _texts(figure)


def test_masks_in_the_pixels() -> None:
    image, low, high = np.full((4, 6, 3), 100, np.uint8), np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    low[:3], high[2:] = True, True
    painted = paint_masks(image, [low, high], ["#ff0000", "#0000ff"])
    assert painted[0, 0].tolist() == [round(55 + 0.45 * 255), 55, 55]
    assert painted[2, 0].tolist() == painted[3, 0].tolist() == [55, 55, round(55 + 0.45 * 255)]
    assert (image == 100).all()


def test_the_drawn_picture(item: DetectionItem) -> None:
    figure = draw_detections([replace(item, true_boxes=np.zeros((0, 4)))])
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    extent = figure.axes[0].get_window_extent()

    def at(x: float, y: float) -> np.ndarray:
        column = extent.x0 + x / 160 * extent.width
        row = len(pixels) - (extent.y1 - y / 120 * extent.height)
        return pixels[int(row), int(column)].astype(int)

    tint = 255 * np.array(to_rgb(PALETTE[0]))
    assert np.abs(at(50, 70) - (0.55 * np.array(SKY) + 0.45 * tint)).max() <= 2  # inside the dog's mask
    assert np.abs(at(90, 20) - SKY).max() <= 2
    assert np.abs(at(50, 30) - tint).max() <= 30  # the upper edge of its box
    assert at(10, 110).tolist() == list(SKY)  # a mask below the score


def test_routing_stands_beside_the_picture(item: DetectionItem, routing: RoutingItem) -> None:
    figure = draw_detections([replace(item, routing=routing), item])
    panels = [axes for axes in figure.axes if str(axes.get_gid()).startswith("panel-")]
    assert len(panels) == 16
    first, second = (axes.get_position() for axes in figure.axes if axes.get_gid() == "picture")
    assert first.y0 > second.y1
    edges = [axes.get_position() for axes in panels]
    assert min(edge.x0 for edge in edges) > first.x1
    assert max(edge.x1 for edge in edges) < 1
    assert max(edge.y1 for edge in edges) == pytest.approx(first.y1)
    assert min(edge.y0 for edge in edges) == pytest.approx(first.y0)
    texts = _texts(figure)
    for text in ("Stage 1", "Stride 32", "100 %", "—", "skipped (identity)"):
        assert text in texts
    assert "not drawn" not in texts
    assert any(text.endswith("12.3 GMACs") for text in texts)
    assert not any("Stage" in text for text in _texts(draw_detections([item])))


def test_nothing_found(item: DetectionItem) -> None:
    empty = DetectionItem(item.image, np.zeros((0, 4)), [], np.zeros(0), "empty", np.zeros((0, 120, 160), bool))
    figure = draw_detections([empty])
    assert not _patches(figure, "box")
    assert "empty · 0 of 0 detections score 0.30 or more" in _texts(figure)


def test_everything_lies_in_the_figure(item: DetectionItem, routing: RoutingItem) -> None:
    tall = replace(item, image=np.zeros((300, 100, 3), np.uint8), masks=None, title="a long title " * 9)
    wide = replace(item, image=np.zeros((50, 400, 3), np.uint8), masks=None)
    names = [f"class number {k}" for k in range(16)]
    many = replace(item, boxes=np.tile(item.boxes[:1], (16, 1)), names=names, scores=np.ones(16), masks=None)
    routed = [replace(some, routing=routing) for some in (tall, wide, many)]
    for items in ([tall, wide, many], routed):
        figure = draw_detections(items)
        renderer = figure.canvas.get_renderer()  # pyright: ignore[reportAttributeAccessIssue]
        width, height = figure.get_size_inches() * figure.dpi
        for text in [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]:
            box = text.get_window_extent(renderer)
            assert box.x0 >= -1, text
            assert box.y0 >= -1, text
            assert box.x1 <= width + 1, text
            assert box.y1 <= height + 1, text
            assert float(text.get_fontsize()) >= SMALL
        for axes in figure.axes:
            place = axes.get_position()
            assert min(place.x0, place.y0) >= 0
            assert max(place.x1, place.y1) <= 1


def test_every_class_has_its_own_colour() -> None:
    names = [f"{k % 80}" for k in range(200)]
    colours = class_colours(names)
    assert len(set(colours.values())) == 80
    assert class_colours(reversed(names)) == colours
    assert [class_colours(["b", "a", "b"])[name] for name in "ba"] == list(PALETTE[:2])
