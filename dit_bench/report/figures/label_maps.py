"""Pictures with a class for each pixel: the colours of the classes, and how their maps stand on the page."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from dit_bench.report.figures.detections import class_colours
from dit_bench.report.figures.panels import frame, picture_at, text_at
from dit_bench.report.figures.style import GREY, PALE
from dit_bench.report.numbers import percent

IGNORED = 255
"""Label of pixels that are not annotated."""
SMALLEST_SHARE = 0.005
"""A class that covers less of every map has no colour of its own."""
MAPS_APART = 0.06
"""Between two maps side by side, in inches."""
_IGNORED_COLOUR, _IGNORED_NAME = "#ffffff", "not annotated"
_FURTHER_COLOUR = "#b5b5b5"


@dataclass(frozen=True)
class LabelledPicture:
    """One picture with the class of each pixel.

    `image` is uint8 (H, W, 3), the original picture; `predicted` and, where it is known, `truth` are uint8 (H, W) with
    the number of a class, 255 in the truth where a pixel is not annotated.
    """

    image: np.ndarray
    predicted: np.ndarray
    title: str
    truth: np.ndarray | None = None

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.image.shape[1] / self.image.shape[0]

    @property
    def maps(self) -> dict[str, np.ndarray]:
        """The maps of classes by their headings."""
        return ({} if self.truth is None else {"Truth": self.truth}) | {"Prediction": self.predicted}

    @property
    def right_share(self) -> float | None:
        """Share of the annotated pixels that were taken for what they are; None where there are none."""
        if self.truth is None or not (annotated := self.truth != IGNORED).any():
            return None
        return float((self.truth == self.predicted)[annotated].mean())

    @property
    def caption(self) -> str:
        """Its title, and how much of it was recognised."""
        return self.title if self.right_share is None else f"{self.title} · {percent(self.right_share)} of pixels right"


@dataclass(frozen=True)
class ClassColours:
    """The colours of classes in one figure."""

    named: dict[str, str]
    """Of each class that has one, by its name and the largest first."""
    others: list[str]
    """What else its legend has to explain; see `draw_other`."""
    table: np.ndarray
    """The colour of each label, uint8 (256, 3)."""

    @classmethod
    def of(cls, pictures: Sequence[LabelledPicture], class_names: Sequence[str]) -> "ClassColours":
        """One colour for a class in all pictures; those that cover less than half a percent of every map share one."""
        shown, further = _shown_classes(pictures)
        others = [f"{further} further class{'es' if further > 1 else ''}"] if further else []
        if any(picture.truth is not None and (picture.truth == IGNORED).any() for picture in pictures):
            others.append(_IGNORED_NAME)
        table = np.empty((256, 3))
        table[:] = to_rgb(_FURTHER_COLOUR)
        table[IGNORED] = to_rgb(_IGNORED_COLOUR)
        for label, colour in shown.items():
            table[label] = to_rgb(colour)
        named = {class_names[label]: colour for label, colour in shown.items()}
        return cls(named, others, np.rint(255 * table).astype(np.uint8))

    @property
    def names(self) -> list[str]:
        """All entries of the legend."""
        return [*self.named, *self.others]


def _shown_classes(pictures: Sequence[LabelledPicture]) -> tuple[dict[int, str], int]:
    """The colour of each class that has one, by label and the largest first; and how many classes share the grey."""
    areas, largest = np.zeros(256), np.zeros(256)
    for picture in pictures:
        for labels in picture.maps.values():
            share = np.bincount(labels.ravel(), minlength=256) / labels.size
            areas, largest = areas + share, np.maximum(largest, share)
    areas[IGNORED] = largest[IGNORED] = 0
    named = [int(label) for label in np.argsort(-areas, kind="stable") if largest[label] >= SMALLEST_SHARE]
    # Numbers in the order of their areas, as text.
    colours = class_colours(f"{place:03d}" for place in range(len(named)))
    return dict(zip(named, colours.values(), strict=True)), int((largest > 0).sum()) - len(named)


def draw_other(axes: Axes, name: str) -> None:
    """The swatch of what is no class."""
    colour = _IGNORED_COLOUR if name == _IGNORED_NAME else _FURTHER_COLOUR
    axes.add_patch(Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor=PALE, linewidth=0.6))


def draw_headed(
    figure: Figure, heading: str, pixels: np.ndarray, left: float, top: float, size: tuple[float, float]
) -> None:
    """A framed picture uint8 (H, W, 3) of that width and height, its heading above it.

    Its upper left corner is at (left, top); its group is the heading in small letters.
    """
    axes = picture_at(figure, pixels, left, top, size)
    axes.set_gid(heading.lower())
    frame(axes)
    text_at(figure, left + size[0] / 2, top + 0.03, heading, ha="center", va="bottom", color=GREY)
