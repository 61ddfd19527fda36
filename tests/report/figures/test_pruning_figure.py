"""Tokens that left on the page: their veils, their shares, and the maps of classes beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dit_bench.report.figures.pruning import PruningItem, draw_pruning, veil_tokens
from dit_bench.report.figures.style import PALETTE

SKY = (120, 160, 200)
CLASSES = ("sky", "road", "car")
STAGES = ("layer 6", "layer 8", "layer 12")


@pytest.fixture
def item() -> PruningItem:
    """Of 4 x 8 tokens the left half left after stage 1, an eighth after stage 2, and the rest stayed."""
    truth = np.zeros((60, 80), np.uint8)
    truth[30:] = 1
    predicted = np.zeros((60, 80), np.uint8)
    predicted[30:] = 2
    exits = np.full((4, 8), 3, np.int8)
    exits[:, :4] = 1
    exits[0, 4:] = 2
    image = np.full((60, 80, 3), SKY, np.uint8)
    return PruningItem(image, predicted, "a.jpg", truth, exits=exits, gmacs=86.83, macs_share=0.79)


def _texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def _axes(figure: Figure, kind: str) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_gid() == kind]


def _swatches(figure: Figure) -> dict[str, tuple[float, ...]]:
    """Colour of each entry of the legends, by the name that stands to its right."""
    width, height = figure.get_size_inches()
    found = {}
    for axes in (axes for axes in figure.axes if axes.get_gid() is None):
        box = axes.get_position()
        (name,) = [
            text.get_text()
            for text in figure.texts
            if abs(text.get_position()[1] - (box.y0 + box.y1) / 2) * height < 0.02
            and 0 < (text.get_position()[0] - box.x1) * width < 0.1
        ]
        (patch,) = axes.patches
        assert isinstance(patch, Rectangle)
        found[name] = patch.get_facecolor()[:3]  # pyright: ignore[reportIndexIssue]
    return found


def _at(figure: Figure, kind: str, x: float, y: float) -> np.ndarray:
    """The drawn colour at a place of a picture, both from 0 to 1."""
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    extent = _axes(figure, kind)[0].get_window_extent()
    row, column = len(pixels) - (extent.y1 - y * extent.height), extent.x0 + x * extent.width
    return pixels[int(row), int(column)] / 255


def test_veils_cover_their_tokens_and_no_others() -> None:
    """Tokens cover their proportional share of a picture that their grid does not divide."""
    image = np.random.default_rng(0).integers(0, 256, (7, 5, 3)).astype(np.uint8)
    exits = np.array([[1, 3], [3, 2]], np.int8)
    veiled = veil_tokens(image, exits, ["#ff0000", "#0000ff"])
    # of 7 rows the first four belong to the upper token, of 5 columns the first three to the left one
    assert (veiled[:4, 3:] == image[:4, 3:]).all()
    assert (veiled[4:, :3] == image[4:, :3]).all()
    grey = image @ np.array([0.299, 0.587, 0.114])
    for channel, (upper, lower) in enumerate([(255, 0), (0, 0), (0, 255)]):
        assert np.abs(veiled[:4, :3, channel] - (0.3 * grey[:4, :3] + 0.7 * upper)).max() < 0.51
        assert np.abs(veiled[4:, 3:, channel] - (0.3 * grey[4:, 3:] + 0.7 * lower)).max() < 0.51


def test_pictures_have_the_colours_of_the_legends(item: PruningItem) -> None:
    figure = draw_pruning([item], CLASSES, STAGES)
    swatches = _swatches(figure)
    first, second, stayed = "50 % left after layer 6", "12 % left after layer 8", "38 % stayed to the end (layer 12)"
    assert list(swatches) == [first, second, stayed, "sky", "road", "car"]
    assert len(set(swatches.values())) == 6
    assert swatches[stayed] == to_rgb("white")
    grey = np.dot(SKY, [0.299, 0.587, 0.114]) / 255
    veils = {name: 0.3 * grey + 0.7 * np.array(swatches[name]) for name in (first, second)}
    drawn = {
        ("picture", 0.2, 0.5): np.array(SKY) / 255,
        ("tokens", 0.2, 0.9): veils[first],
        ("tokens", 0.7, 0.1): veils[second],
        ("tokens", 0.7, 0.5): np.array(SKY) / 255,
        ("prediction", 0.5, 0.2): swatches["sky"],
        ("prediction", 0.5, 0.8): swatches["car"],
        ("truth", 0.5, 0.8): swatches["road"],
        ("shares", 0.4, 0.5): swatches[first],
        ("shares", 0.56, 0.5): swatches[second],
        ("shares", 0.8, 0.5): to_rgb("white"),
    }
    for place, colour in drawn.items():
        assert np.abs(_at(figure, *place) - np.array(colour)).max() < 0.01, place


def test_words(item: PruningItem) -> None:
    texts = _texts(draw_pruning([item], CLASSES, STAGES))
    assert {"Picture", "Tokens", "Prediction", "Truth", "50 % · 12 % · 38 %"} <= set(texts)
    assert "a.jpg · 50 % of pixels right · 86.8 GMACs · 79 % of unpruned MACs" in texts
    bare = replace(item, truth=None, gmacs=None, macs_share=None)
    texts = _texts(draw_pruning([bare], CLASSES, STAGES))
    assert "a.jpg" in texts
    assert "Truth" not in texts


def test_shares_in_the_legend_are_those_of_all_tokens(item: PruningItem) -> None:
    """Also of pictures with grids of different sizes: 16 + 8 of 40 tokens left after stage 1."""
    small = replace(item, exits=np.ones((2, 4), np.int8))
    names = list(_swatches(draw_pruning([item, small], CLASSES, STAGES)))
    assert names[:3] == ["60 % left after layer 6", "10 % left after layer 8", "30 % stayed to the end (layer 12)"]


def test_stages_are_ordered_from_light_to_dark_apart_from_classes(item: PruningItem) -> None:
    stages = [f"layer {layer}" for layer in (3, 6, 8, 12)]
    swatches = list(_swatches(draw_pruning([item], CLASSES, stages)).values())[:3]
    lightness = [np.dot(colour, [0.299, 0.587, 0.114]) for colour in swatches]
    assert lightness == sorted(lightness, reverse=True)
    for colour in swatches:
        assert min(np.abs(np.subtract(colour, to_rgb(other))).max() for other in PALETTE) > 0.15
    assert len(_swatches(draw_pruning([item], CLASSES, STAGES))) == 6


def test_a_baseline_has_no_veil(item: PruningItem) -> None:
    stayed = replace(item, exits=np.ones((4, 8), np.int8))
    figure = draw_pruning([stayed], CLASSES, ["layer 12"])
    assert next(iter(_swatches(figure))) == "100 % stayed to the end (layer 12)"
    assert np.abs(_at(figure, "tokens", 0.2, 0.5) - np.array(SKY) / 255).max() < 0.01


def test_exits_beyond_the_stages_are_refused(item: PruningItem) -> None:
    with pytest.raises(AssertionError, match="exits beyond the stages"):
        draw_pruning([item], CLASSES, STAGES[:2])


@pytest.mark.parametrize("width_inches", [3.5, 7.0])
def test_lines_stand_below_each_other_within_the_figure(item: PruningItem, width_inches: float) -> None:
    tall = np.full((160, 80, 3), SKY, np.uint8)
    other = replace(item, image=tall, predicted=np.zeros((160, 80), np.uint8), truth=None, title="b.jpg" * 40)
    figure = draw_pruning([item, other], CLASSES, STAGES, width_inches=width_inches)
    width, height = figure.get_size_inches()
    assert width == width_inches
    upper, lower = (axes.get_position() for axes in _axes(figure, "picture"))
    assert upper.y0 > lower.y1
    for kind, pictures in {"tokens": 2, "prediction": 2, "truth": 1}.items():
        assert len(_axes(figure, kind)) == pictures
        assert _axes(figure, kind)[0].get_position().y0 == pytest.approx(upper.y0)
    assert lower.height * height == pytest.approx(min(2.6, 2 * lower.width * width), abs=0.01)
    for text in figure.texts:
        extent = text.get_window_extent()
        assert extent.x0 >= -1
        assert extent.x1 <= width * figure.dpi + 1
        assert extent.y0 >= -1
        assert extent.y1 <= height * figure.dpi + 1
