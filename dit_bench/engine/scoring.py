"""Score weights from a file: a finished run's, or official ones on an ImageNet folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dit_bench.data.class_map import ClassMap, match_classes
from dit_bench.data.imagenet import ImageFolderSet
from dit_bench.data.loading import Dataset, Split, build_dataset
from dit_bench.data.scenes.scene_set import SceneSet
from dit_bench.data.synsets import english_name
from dit_bench.data.transforms import Preprocessing
from dit_bench.engine import distributed
from dit_bench.engine.build import build_model, check_model_name
from dit_bench.engine.context import JobContext
from dit_bench.engine.devices import autocast, prepare
from dit_bench.engine.evaluate import Evaluation, evaluate
from dit_bench.engine.latency import latency_metrics
from dit_bench.engine.protocols import ProtocolName, preprocessing_of, under_protocol
from dit_bench.models.weights import head_classes, load_into, read_weights
from dit_bench.recipes.settings import RunSettings


@dataclass(frozen=True)
class Conditions:
    """On which images a result was found, and how they reached the network."""

    split: Split
    protocol: ProtocolName | None
    """None: as the settings say."""
    crop_fraction: float | None
    """Side of the centre crop over the resized short side; None for digit scenes, which are not cropped."""
    interpolation: str
    mean: tuple[float, ...]
    """What was subtracted from the channels of the pictures."""
    image_size_px: int
    num_images: int
    num_classes: int
    """Classes of the classifier."""
    num_present: int
    """Classes of the data set."""
    by_synset: bool
    """The labels are ImageNet's numbers, found by the folders' names."""


@dataclass(frozen=True)
class Scored:
    """What weights reach on a split under one protocol."""

    conditions: Conditions
    evaluation: Evaluation
    latency: dict[str, float]
    class_names: tuple[str, ...]
    """Synset, folder name or digit of each class of the classifier."""
    english_names: tuple[str | None, ...]
    """English name of each class, where it is one of ImageNet's."""
    image_names: tuple[str, ...]
    """What each image is called: its path relative to the data set's folder, or `val/scene 12`."""

    @property
    def metrics(self) -> dict[str, float]:
        """All figures by name."""
        return self.evaluation.metrics | self.latency


def score_weights(
    settings: RunSettings,
    weights: Path,
    split: Split,
    context: JobContext,
    protocols: Sequence[ProtocolName] = (),
    *,
    lenient: bool = False,
) -> list[Scored]:
    """Score weights from a file with the network of the settings, under each of `protocols` or as the settings say.

    A classifier of ImageNet's 1000 classes is scored on any folder of its synsets, as one of 1000 classes; any other
    must have the data set's number of classes. With `lenient` images that cannot be read count as wrong.

    Raises:
        UsageError: an unknown model, a protocol for digit scenes, or a precision that the device does not have.
        DataError: the data set is missing or an image cannot be read.
        WeightsError: the file is missing, damaged, of another architecture, or of other classes than the data set.
    """
    check_model_name(settings.model.name)
    variants: list[tuple[ProtocolName | None, RunSettings]] = [(p, under_protocol(settings, p)) for p in protocols]
    device = prepare(context.runtime)
    autocast(device, settings.numerics)
    tensors = read_weights(weights)
    with distributed.first_on_each_machine():
        images = build_dataset(settings.data, split, context.cache_dir)
    classes = match_classes(images, head_classes(tensors), str(weights))
    model = build_model(settings, classes.num_classes)
    load_into(model, tensors, str(weights))
    dataset = classes.relabelled(images)
    present = classes.labels if classes.is_partial else None
    latency: dict[str, float] | None = None
    scored = []
    for protocol, varied in variants or [(None, settings)]:
        preprocessing = preprocessing_of(settings, protocol)
        evaluation = evaluate(
            model,
            dataset,
            varied,
            context.runtime,
            device,
            context.reporter.evaluating,
            present_classes=present,
            preprocessing=preprocessing,
            lenient=lenient,
        )
        if latency is None:  # the crop does not change what the network computes
            main = distributed.is_main()
            measured = latency_metrics(model, dataset, varied, device, lenient=lenient) if main else {}
            latency = distributed.from_main(measured)
        conditions = _conditions(varied, split, protocol, preprocessing, images, classes)
        english = tuple(english_name(name) for name in classes.names)
        scored.append(Scored(conditions, evaluation, latency, classes.names, english, _image_names(images, split)))
    return scored


def _conditions(
    settings: RunSettings,
    split: Split,
    protocol: ProtocolName | None,
    preprocessing: Preprocessing,
    images: Dataset,
    classes: ClassMap,
) -> Conditions:
    data = settings.data
    return Conditions(
        split=split,
        protocol=protocol,
        crop_fraction=None if isinstance(images, SceneSet) else data.eval_crop_fraction,
        interpolation=preprocessing.interpolation,
        mean=preprocessing.mean,
        image_size_px=data.image_size_px,
        num_images=len(images),
        num_classes=classes.num_classes,
        num_present=len(classes.labels),
        by_synset=classes.by_synset,
    )


def _image_names(images: Dataset, split: Split) -> tuple[str, ...]:
    if isinstance(images, ImageFolderSet):
        return tuple(images.files)
    word = "scene" if isinstance(images, SceneSet) else "image"
    return tuple(f"{split}/{word} {number}" for number in range(len(images)))
