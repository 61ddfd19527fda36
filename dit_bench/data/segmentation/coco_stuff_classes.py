"""The 171 classes of COCO-Stuff-10K v1.1 in the order of their ids: 80 things, then 91 kinds of stuff.

The names are those of the data set's `labels.txt`. Label 1 of a converted label image is person.
"""

from __future__ import annotations

from dit_bench.data.segmentation.label_ids import ranked_ids

LAST_ID = 182
ABSENT_IDS: dict[int, str] = {
    **{12: "street sign", 26: "hat", 29: "shoe", 30: "eye glasses", 45: "plate", 66: "mirror", 68: "window"},
    **{69: "desk", 71: "door", 83: "blender", 91: "hair brush"},
}
"""Things that COCO gave a number and never annotated."""
COCO_STUFF_CLASS_NAMES: tuple[str, ...] = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    *("microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear"),
    *("hair drier", "toothbrush"),
    *("banner", "blanket", "branch", "bridge", "building-other", "bush", "cabinet", "cage", "cardboard", "carpet"),
    *("ceiling-other", "ceiling-tile", "cloth", "clothes", "clouds", "counter", "cupboard", "curtain", "desk-stuff"),
    *("dirt", "door-stuff", "fence", "floor-marble", "floor-other", "floor-stone", "floor-tile", "floor-wood"),
    *("flower", "fog", "food-other", "fruit", "furniture-other", "grass", "gravel", "ground-other", "hill", "house"),
    *("leaves", "light", "mat", "metal", "mirror-stuff", "moss", "mountain", "mud", "napkin", "net", "paper"),
    *("pavement", "pillow", "plant-other", "plastic", "platform", "playingfield", "railing", "railroad", "river"),
    *("road", "rock", "roof", "rug", "salad", "sand", "sea", "shelf", "sky-other", "skyscraper", "snow"),
    *("solid-other", "stairs", "stone", "straw", "structural-other", "table", "tent", "textile-other", "towel"),
    *("tree", "vegetable", "wall-brick", "wall-concrete", "wall-other", "wall-panel", "wall-stone", "wall-tile"),
    *("wall-wood", "water-other", "waterdrops", "window-blind", "window-other", "wood"),
)
COCO_STUFF_IDS = ranked_ids(
    tuple(number for number in range(1, LAST_ID + 1) if number not in ABSENT_IDS),
    LAST_ID,
    foreign={number: f"{name}, which version 1.1 never has" for number, name in ABSENT_IDS.items()}
    | {255: "unlabelled in the release of 164,000 pictures"},
    remedy="use COCO-Stuff-10K version 1.1; version 1.0 (1 unlabelled, 2 … 172) and the release of 164,000 pictures"
    " (0 … 181, 255 unlabelled) count otherwise",
)
"""0 is unlabelled, 1 … 171 are the classes."""
