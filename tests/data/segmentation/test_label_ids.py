import numpy as np
import pytest

from dit_bench.data.segmentation.coco_stuff_classes import ABSENT_IDS, COCO_STUFF_CLASS_NAMES, COCO_STUFF_IDS
from dit_bench.data.segmentation.label_ids import ranked_ids
from dit_bench.data.segmentation.label_values import check_class_names
from dit_bench.data.segmentation.pascal_context_classes import PASCAL_CONTEXT_CLASS_NAMES, PASCAL_CONTEXT_IDS
from dit_bench.errors import DataError


def test_ids_become_their_ranks():
    ids = ranked_ids((2, 5, 6), 8, foreign=None, remedy="")
    assert ids.numbers(np.arange(9), "map").tolist() == [0, 0, 1, 0, 0, 2, 3, 0, 0]
    strict = ranked_ids((2, 5, 6), 8, foreign={3: "a hat"}, remedy="do this")
    numbers = strict.numbers(np.array([[0, 6], [5, 2]]), "map")
    assert (numbers.dtype, numbers.tolist()) == (np.uint8, [[0, 3], [2, 1]])
    with pytest.raises(DataError, match=r"map x has the id 3 \(a hat\) in 2 places, and 1 further .* 0 to 8 — do this"):
        strict.numbers(np.array([3, 7, 3]), "map x")
    for table in (ids, strict):
        with pytest.raises(DataError, match="map x has the id 300 in 1 places; ids go from 0 to 8"):
            table.numbers(np.array([2, 300]), "map x")


def test_pascal_contexts_ids():
    """Pairs from the release's labels.txt, whose 459 names follow the alphabet."""
    assert len(PASCAL_CONTEXT_CLASS_NAMES) == 59
    check_class_names(PASCAL_CONTEXT_CLASS_NAMES)
    assert sorted(PASCAL_CONTEXT_CLASS_NAMES) == list(PASCAL_CONTEXT_CLASS_NAMES)
    numbers = PASCAL_CONTEXT_IDS.numbers(np.arange(460), "ids").astype(int)
    assert numbers[0] == 0
    assert np.bincount(numbers).tolist() == [401, *[1] * 59]
    known = {"aeroplane": 2, "bag": 9, "bicycle": 23, "bus": 45, "car": 59, "cat": 65, "chair": 72, "dog": 113}
    known |= {"floor": 158, "grass": 187, "motorbike": 258, "person": 284, "road": 324, "sofa": 368, "table": 397}
    known |= {"train": 416, "tree": 420, "tvmonitor": 427, "wall": 440, "window": 454, "wood": 458}
    assert {name: PASCAL_CONTEXT_CLASS_NAMES[numbers[number] - 1] for name, number in known.items()} == {
        name: name for name in known
    }
    with pytest.raises(DataError, match=r"the id 460 in 1 places; ids go from 0 to 459"):
        PASCAL_CONTEXT_IDS.numbers(np.array([460]), "map")


def test_coco_stuffs_ids():
    assert len(COCO_STUFF_CLASS_NAMES) == 171
    check_class_names(COCO_STUFF_CLASS_NAMES)
    present = np.array([number for number in range(183) if number not in ABSENT_IDS])
    assert COCO_STUFF_IDS.numbers(present, "ids").tolist() == list(range(172))
    known = {"person": 1, "fire hydrant": 11, "stop sign": 13, "backpack": 27, "handbag": 31, "wine glass": 46}
    known |= {"dining table": 67, "toilet": 70, "tv": 72, "book": 84, "toothbrush": 90, "banner": 92, "grass": 124}
    known |= {"sky-other": 157, "tree": 169, "wall-brick": 171, "water-other": 178, "wood": 182}
    numbers = {name: int(COCO_STUFF_IDS.numbers(np.array([number]), "id")[0]) for name, number in known.items()}
    assert {name: COCO_STUFF_CLASS_NAMES[number - 1] for name, number in numbers.items()} == {
        name: name for name in known
    }
    assert numbers["toothbrush"] == 80  # 80 things, then stuff
    for number in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91, 183, 255):
        with pytest.raises(DataError, match=rf"the id {number} .*use COCO-Stuff-10K version 1\.1"):
            COCO_STUFF_IDS.numbers(np.array([1, number]), "map")
