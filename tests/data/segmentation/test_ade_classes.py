from dit_bench.data.segmentation.ade_classes import ADE_CLASS_NAMES
from dit_bench.data.segmentation.label_values import check_class_names


def test_names_stand_at_the_numbers_of_the_benchmark():
    """Numbers from SceneParse150's objectInfo150.txt, spread over the list; it counts from 1."""
    assert len(ADE_CLASS_NAMES) == 150
    check_class_names(ADE_CLASS_NAMES)
    known = {1: "wall", 2: "building", 13: "person", 21: "car", 42: "box", 58: "pillow", 76: "swivel chair"}
    known |= {90: "television receiver", 100: "buffet", 110: "swimming pool", 125: "microwave", 130: "dishwasher"}
    known |= {134: "hood", 138: "tray", 144: "monitor", 150: "flag"}
    known |= {5: "tree", 17: "mountain", 28: "mirror", 48: "sink", 69: "hill", 116: "bag", 121: "food", 127: "animal"}
    known |= {32: "seat", 137: "traffic light", 142: "crt screen", 148: "glass", 146: "shower"}
    wrong = {
        number: ADE_CLASS_NAMES[number - 1] for number, name in known.items() if ADE_CLASS_NAMES[number - 1] != name
    }
    assert wrong == {}
