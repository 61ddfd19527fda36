"""Which class of a classifier each class of a data set is.

A classifier knows its classes by number alone. ImageNet's 1000 numbers belong to synsets, so a folder named by synset
finds its number even where some classes are missing; any other folder is numbered by its place among the sorted names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dit_bench.data.imagenet import ImageFolderSet
from dit_bench.data.loading import Dataset
from dit_bench.data.synsets import NUM_SYNSETS, imagenet_synsets
from dit_bench.errors import WeightsError

LISTED_NAMES = 3


@dataclass(frozen=True)
class ClassMap:
    """The classes of a classifier, and those of them that a data set has.

    Attributes:
        names: name of every class of the classifier, in its order: synset, folder name or digit.
        labels: class of the classifier for each class of the data set, in the data set's order.
        by_synset: the labels are ImageNet's numbers, found by name.
    """

    names: tuple[str, ...]
    labels: tuple[int, ...]
    by_synset: bool

    @property
    def num_classes(self) -> int:
        """Classes of the classifier."""
        return len(self.names)

    @property
    def is_partial(self) -> bool:
        """Whether the data set lacks classes of the classifier."""
        return len(self.labels) < self.num_classes

    def relabelled(self, dataset: Dataset) -> Dataset:
        """The data set with the classifier's labels and class names; itself where they are the same."""
        return dataset if dataset.class_names == self.names else _Relabelled(dataset, self)


class _Relabelled:
    """A data set seen with other labels."""

    def __init__(self, dataset: Dataset, classes: ClassMap):
        self.dataset = dataset
        self.class_names = classes.names
        self.labels = np.array(classes.labels, dtype=np.int64)[dataset.labels]

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def read(self, index: int) -> np.ndarray:
        return self.dataset.read(index)

    def manifest_sha256(self) -> str:
        return self.dataset.manifest_sha256()


def match_classes(dataset: Dataset, head_classes: int | None, weights: str) -> ClassMap:
    """Match the classes of `dataset` with a classifier of `head_classes` classes, read from the file `weights`.

    None stands for weights without a classifier, which loading them then refuses.

    Raises:
        WeightsError: neither are the names synsets of ImageNet, for 1000 classes, nor are there as many on both sides.
    """
    names = dataset.class_names
    matchable = head_classes == NUM_SYNSETS and isinstance(dataset, ImageFolderSet)
    synsets = imagenet_synsets() if matchable else ()
    if synsets and set(names) <= set(synsets):
        numbers = {synset: number for number, synset in enumerate(synsets)}
        return ClassMap(synsets, tuple(numbers[name] for name in names), by_synset=True)
    if head_classes is None or head_classes == len(names):
        return ClassMap(names, tuple(range(len(names))), by_synset=False)
    message = f"{weights} classifies into {head_classes} classes, the data set has {len(names)}"
    if not synsets:
        raise WeightsError(
            message,
            remedy=f"give weights for the data set's classes; only a classifier of ImageNet's {NUM_SYNSETS} classes"
            " can be scored on a folder of fewer, named by synset",
        )
    foreign = sorted(set(names) - set(synsets))
    listed = ", ".join(foreign[:LISTED_NAMES]) + (", …" if len(foreign) > LISTED_NAMES else "")
    raise WeightsError(
        f"{message}, and not all of them are ImageNet's ({listed})",
        remedy=f"name the class folders by their synsets, as in {synsets[0]}, or give weights of {len(names)} classes",
    )
