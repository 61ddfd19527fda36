"""The 59 classes of Pascal Context that are trained and scored, and their ids among the release's 459.

The order is mmsegmentation's: that of the ids, which follow the alphabet. Label 1 of a converted label image is
aeroplane.
"""

from __future__ import annotations

from dit_bench.data.segmentation.label_ids import ranked_ids

BACKGROUND_NAME = "background"
"""What a 0 in a converted label image is, where it counts as a class."""
LAST_ID = 459
"""1 … 459 name everything that was annotated; what is not among the 59 belongs to the background."""
_IDS: dict[str, int] = {
    **{"aeroplane": 2, "bag": 9, "bed": 18, "bedclothes": 19, "bench": 22, "bicycle": 23, "bird": 25, "boat": 31},
    **{"book": 33, "bottle": 34, "building": 44, "bus": 45, "cabinet": 46, "car": 59, "cat": 65, "ceiling": 68},
    **{"chair": 72, "cloth": 80, "computer": 85, "cow": 98, "cup": 104, "curtain": 105, "dog": 113, "door": 115},
    **{"fence": 144, "floor": 158, "flower": 159, "food": 162, "grass": 187, "ground": 189, "horse": 207},
    **{"keyboard": 220, "light": 232, "motorbike": 258, "mountain": 259, "mouse": 260, "person": 284, "plate": 295},
    **{"platform": 296, "pottedplant": 308, "road": 324, "rock": 326, "sheep": 347, "shelves": 349},
    **{"sidewalk": 354, "sign": 355, "sky": 360, "snow": 366, "sofa": 368, "table": 397, "track": 415, "train": 416},
    **{"tree": 420, "truck": 424, "tvmonitor": 427, "wall": 440, "water": 445, "window": 454, "wood": 458},
}
PASCAL_CONTEXT_CLASS_NAMES: tuple[str, ...] = tuple(_IDS)
PASCAL_CONTEXT_IDS = ranked_ids(
    tuple(_IDS.values()),
    LAST_ID,
    foreign=None,
    remedy="Pascal Context has the ids 1 … 459; restore the file from its release",
)
"""0 is the background, 1 … 59 are the classes."""
