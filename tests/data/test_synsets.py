"""ImageNet's labels: the numbers that official classifiers were trained with."""

import pytest

from dit_bench.data.synsets import english_name, imagenet_synsets


def test_the_order_is_that_of_the_official_labels(imagenet_labels: dict[str, int]) -> None:
    synsets = imagenet_synsets()
    assert len(set(synsets)) == 1000
    assert {synset: synsets.index(synset) for synset in imagenet_labels} == imagenet_labels
    assert synsets[999] == "n15075141"
    # Two pairs of namesakes, which an order by English name would mix up.
    assert [synsets[k] for k in (134, 517, 638, 639)] == ["n02012849", "n03126707", "n03710637", "n03710721"]


@pytest.mark.parametrize(
    ("class_name", "expected"),
    [
        ("n01440764", "tench"),
        ("n02102040", "English springer"),
        ("n03126707", "crane"),
        ("n02012849", "crane"),
        ("digit_3", None),
        ("n00000001", None),
    ],
)
def test_english_names(class_name: str, expected: str | None) -> None:
    assert english_name(class_name) == expected
