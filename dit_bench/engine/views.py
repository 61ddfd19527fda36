"""What figures need from a trained network: the routing of single pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from dit_bench.data.images import read_image
from dit_bench.data.loading import Dataset, build_dataset, evaluation_batches
from dit_bench.data.transforms import denormalise_images, normalise_images
from dit_bench.engine.accounting import model_costs, traced
from dit_bench.engine.build import build_model
from dit_bench.engine.devices import prepare
from dit_bench.models.dit.costs import GridCosts
from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.trace import RoutingTrace
from dit_bench.models.weights import head_classes, load_into, read_weights
from dit_bench.recipes.settings import RunSettings, RuntimeSettings
from dit_bench.runs.read import FinishedRun

SIDE_MULTIPLE = 32


@dataclass(frozen=True)
class RoutedImage:
    """One picture as the network saw it, with its route."""

    image: np.ndarray
    """uint8 (H, W, 3)."""
    kept: dict[tuple[int, int], np.ndarray]
    """`kept[scale, stage]`: bool (h, w)."""
    live: np.ndarray
    """bool (N, M)."""
    gmacs: float
    title: str
    """Class, and what the network said."""


def load_trained(run: FinishedRun) -> tuple[nn.Module, int]:
    """The network of a finished run with its weights, ready for inference, and its number of classes."""
    weights = read_weights(run.weights_file)
    num_classes = head_classes(weights)
    assert num_classes is not None, "a finished run without a classifier"
    model = build_model(run.record.settings, num_classes)
    load_into(model, weights, str(run.weights_file))
    return model.eval(), num_classes


def routed_pictures(
    run: FinishedRun, runtime: RuntimeSettings, pictures: Sequence[Path], short_side_px: int, count: int
) -> list[RoutedImage]:
    """Routes of the user's pictures, or of `count` images of the data set that the run was evaluated on.

    Raises DataError if a picture or the data set cannot be read.
    """
    settings = run.record.settings
    prepare(runtime)
    if pictures:
        loaded = [(own_picture(path, short_side_px), path.name) for path in pictures]
        names = None
    else:
        cache_dir = None if runtime.data_dir is None else Path(runtime.data_dir)
        dataset = build_dataset(settings.data, settings.data.eval_split, cache_dir)
        names = dataset.class_names
        loaded = [(image, names[label]) for image, label in dataset_images(dataset, settings, count)]
    model, num_classes = load_trained(run)
    return [route_image(model, image, settings, num_classes, title, names) for image, title in loaded]


@torch.no_grad()
def route_image(
    model: nn.Module,
    image: Tensor,
    settings: RunSettings,
    num_classes: int,
    title: str,
    class_names: Sequence[str] | None,
) -> RoutedImage:
    """Route one normalised image `(3, H, W)`; with class names, the title says what was predicted."""
    size = (image.shape[-2], image.shape[-1])
    costs = model_costs(model, settings, size, num_classes)
    batch = image.unsqueeze(0)
    logits, trace = traced(model, batch, costs)
    ledger = Ledger.read(trace, costs)
    kept = kept_maps(trace, costs)
    if class_names is not None:
        title = f"{title}, predicted {class_names[int(logits.argmax())]}"
    return RoutedImage(denormalise_images(batch)[0], kept, ledger.live[0], float(ledger.macs[0]) / 1e9, title)


def kept_maps(trace: RoutingTrace, costs: GridCosts) -> dict[tuple[int, int], np.ndarray]:
    """Kept tokens of the first image of a trace: `kept[scale, stage]`, bool (h, w)."""
    kept: dict[tuple[int, int], np.ndarray] = {}
    for scale, row in enumerate(trace.kept):
        for stage, cell in enumerate(row):
            mask = torch.full((1, costs.num_tokens[scale]), float(cell)) if isinstance(cell, bool) else cell
            kept[scale, stage] = (mask[0] > 0.5).reshape(costs.grids[scale]).cpu().numpy()
    return kept


def dataset_images(dataset: Dataset, settings: RunSettings, count: int) -> list[tuple[Tensor, int]]:
    """Normalised images and labels, spread evenly over the data set."""
    wanted = {round(k) for k in np.linspace(0, len(dataset) - 1, min(count, len(dataset)))}
    found: list[tuple[Tensor, int]] = []
    for index, images, labels in evaluation_batches(dataset, settings.data, batch_size=100):
        found += [(images[k], int(labels[k])) for k, number in enumerate(index.tolist()) if number in wanted]
        if len(found) == len(wanted):
            break
    return found


def own_picture(path: Path, short_side_px: int) -> Tensor:
    """A user's picture as `(3, H, W)`: aspect kept, short side as given, both sides multiples of 32, nothing cropped.

    Raises DataError if the file cannot be read.
    """
    picture = Image.fromarray(read_image(path))
    ratio = short_side_px / min(picture.size)
    sides = [max(SIDE_MULTIPLE, round(side * ratio / SIDE_MULTIPLE) * SIDE_MULTIPLE) for side in picture.size]
    resized = picture.resize((sides[0], sides[1]), Image.Resampling.BICUBIC)
    return normalise_images(np.asarray(resized)[None])[0]
