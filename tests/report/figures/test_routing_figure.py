"""Figure 3: skipped tokens are white in the pixels, kept ones show the picture, numbers equal the input."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dit_bench.report.figures.panels import RoutingItem, compose_panel
from dit_bench.report.figures.routing import draw_routing
from dit_bench.report.figures.style import SMALL

RED = (200, 30, 30)


@pytest.fixture
def item() -> RoutingItem:
    """A red picture; scale 2 is not live in stage 1, scale 1 skips all in stage 4, the rest is random."""
    rng = np.random.default_rng(1)
    live = np.ones((4, 4), bool)
    live[2, 0] = live[3, 0] = False
    kept = {(i, j): rng.random((16 >> i, 16 >> i)) < 0.5 for i in range(4) for j in range(4) if live[i, j]}
    kept[1, 3] = np.zeros((8, 8), bool)
    kept[1, 2] = np.ones((8, 8), bool)
    image = np.full((64, 64, 3), RED, np.uint8)
    return RoutingItem(image, kept, live, "true: 7, predicted: 3", 0.00981)


def _pixels(figure: Figure) -> np.ndarray:
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def _panel(figure: Figure, scale: int, stage: int) -> Axes:
    return next(axes for axes in figure.axes if axes.get_gid() == f"panel-{scale}-{stage}")


def _token_centre(figure: Figure, axes: Axes, row: int, column: int, size: int, height: int) -> tuple[int, int]:
    box = axes.get_window_extent()
    x = box.x0 + (column + 0.5) / size * box.width
    y = box.y1 - (row + 0.5) / size * box.height
    return height - 1 - int(y), int(x)


def test_panel_covers_each_token_exactly() -> None:
    kept = np.array([[True, False], [False, True]])
    panel = compose_panel(np.full((6, 8, 3), 7, np.uint8), kept)
    assert (panel[:3, :4] == 7).all()
    assert (panel[3:, 4:] == 7).all()
    assert (panel[:3, 4:] == 255).all()
    assert (panel[3:, :4] == 255).all()
    # Sides that the tokens do not divide: every pixel belongs to one token.
    assert (compose_panel(np.zeros((7, 5, 3), np.uint8), np.ones((3, 2), bool)) == 0).all()


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_pixels_of_kept_and_skipped_tokens(item: RoutingItem, scale: int) -> None:
    figure = draw_routing([item])
    pixels = _pixels(figure)
    for stage in range(4):
        if not item.live[scale, stage]:
            continue
        kept, axes = item.kept[scale, stage], _panel(figure, scale, stage)
        for row, column in np.ndindex(kept.shape):
            place = _token_centre(figure, axes, row, column, len(kept), len(pixels))
            expected = RED if kept[row, column] else (255, 255, 255)
            assert tuple(int(value) for value in pixels[place]) == expected, (stage, row, column)


def test_not_live_is_not_all_skipped(item: RoutingItem) -> None:
    figure = draw_routing([item])
    pixels = _pixels(figure)

    def inside(scale: int, stage: int) -> np.ndarray:
        box = _panel(figure, scale, stage).get_window_extent().shrunk(0.9, 0.9)
        return pixels[len(pixels) - int(box.y1) + 12 : len(pixels) - int(box.y0) - 12, int(box.x0) + 12 : int(box.x1)]

    assert (inside(1, 3) == 255).all()
    assert not (inside(2, 0) == 255).all(axis=-1).any()


def test_percentages_equal_the_masks(item: RoutingItem) -> None:
    figure = draw_routing([item], scales=(0, 1, 2, 3))
    drawn = sorted(text.get_text() for text in figure.texts if text.get_text().endswith(" %"))
    assert drawn == sorted(f"{100 * mask.mean():.0f} %" for mask in item.kept.values())
    assert sum(text.get_text() == "—" for text in figure.texts) == (~item.live).sum()


def test_labels_and_type_size(item: RoutingItem) -> None:
    figure = draw_routing([item, item])
    texts = [text.get_text() for text in figure.texts]
    for name in ("Stage 1", "Stage 4", "Stride 8", "Stride 32", "0.00981 GMACs"):
        assert texts.count(name) == 2, name
    assert "Stride 4" not in texts
    assert min(float(text.get_fontsize()) for text in figure.texts) >= SMALL


def test_long_titles_stay_below_their_picture(item: RoutingItem) -> None:
    long = RoutingItem(item.image, item.kept, item.live, "a very long title of many words " * 5 + "x" * 80, None)
    figure = draw_routing([long, long])
    renderer = figure.canvas.get_renderer()  # pyright: ignore[reportAttributeAccessIssue]
    picture = figure.axes[0].get_window_extent(renderer)
    lines = [text for text in figure.texts if "very" in text.get_text() or "xxx" in text.get_text()]
    assert lines
    for text in lines[: len(lines) // 2]:
        assert text.get_window_extent(renderer).x1 <= picture.x1 + 1


def test_pictures_need_not_be_square(item: RoutingItem) -> None:
    wide = RoutingItem(np.zeros((64, 128, 3), np.uint8), item.kept, item.live, "wide")
    figure = draw_routing([item, wide, item])
    right = max(axes.get_position().x1 for axes in figure.axes)
    assert right <= 1.0
    box = _panel(figure, 1, 0).get_window_extent()
    assert box.width == pytest.approx(box.height, rel=0.02)
