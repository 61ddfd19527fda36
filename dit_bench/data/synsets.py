"""ImageNet-1k's classes: the WordNet synsets in the order of its labels, with English names (from timm's lists)."""

from __future__ import annotations

from functools import cache

from timm.data import ImageNetInfo

NUM_SYNSETS = 1000


@cache
def imagenet_synsets() -> tuple[str, ...]:
    """The 1000 synsets of ILSVRC-2012; the position is the label: n01440764 is 0, n15075141 is 999."""
    synsets = tuple(ImageNetInfo("imagenet-1k").label_names())
    # Label order is the sorted order; a list in another one would turn every accuracy into chance.
    assert len(synsets) == NUM_SYNSETS
    assert list(synsets) == sorted(synsets)
    return synsets


@cache
def _english_names() -> dict[str, str]:
    described = ImageNetInfo("imagenet-1k").label_descriptions(as_dict=True)
    assert isinstance(described, dict)
    return {synset: words.split(",")[0].strip() for synset, words in described.items()}


def english_name(class_name: str) -> str | None:
    """The first English word for a synset, as `tench` for n01440764; None for a class that is none of ImageNet's.

    Words are not unique: `crane` is a bird (n02012849) and a machine (n03126707).
    """
    return _english_names().get(class_name)
