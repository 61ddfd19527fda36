"""What the picture of a segmentation network's work needs: label maps of single pictures, and where tokens went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dit_bench.data.images import read_image
from dit_bench.data.segmentation.build import build_segmentation_set
from dit_bench.data.segmentation.transforms import network_pixels
from dit_bench.data.transforms import denormalise_images, normalise_images
from dit_bench.engine.dense_views import RoutedPicture, spread_indices
from dit_bench.engine.devices import prepare
from dit_bench.engine.pyramid_costs import PyramidCosts
from dit_bench.engine.segmentation_build import load_segmenter
from dit_bench.engine.views import kept_maps
from dit_bench.errors import UsageError
from dit_bench.models.segmenters.network import SegmentationNetwork
from dit_bench.recipes.settings import RunSettings, RuntimeSettings
from dit_bench.runs.read import FinishedRun
from dit_bench.tasks.segmentation.labelling import predict_labels


@dataclass(frozen=True)
class SegmentedImage(RoutedPicture):
    """One picture in its own size, what its pixels were taken for, and its route."""

    labels: np.ndarray
    """uint8 (H, W): the class of every pixel."""
    true_labels: np.ndarray | None
    """uint8 (H, W), 255 where nothing is known; None for pictures without label images."""


def segmented_pictures(
    run: FinishedRun, runtime: RuntimeSettings, pictures: Sequence[Path], count: int
) -> tuple[list[SegmentedImage], tuple[str, ...]]:
    """Label maps of the user's pictures, or of `count` images of the split that the run was evaluated on; class names.

    Raises DataError if a picture or the data set cannot be read, WeightsError if the run's weights are damaged,
    UsageError for a plain ViT.
    """
    settings = run.record.settings
    device = prepare(runtime)
    loaded, class_names = read_pictures(settings, runtime, pictures, count)
    network = load_segmenter(settings, run.weights_file, len(class_names)).to(device)
    if not isinstance(network, SegmentationNetwork):
        raise UsageError(f"{run.path.name} stands on a plain ViT", remedy="use dit-bench plot pruning")
    costs = PyramidCosts(network, settings.model.name)
    return [_segmented(network, costs, settings, *item, device) for item in loaded], class_names


Loaded = tuple[np.ndarray, str, "np.ndarray | None"]
"""A picture uint8 (H, W, 3), its title, its true labels uint8 (H, W) if they are known."""


def read_pictures(
    settings: RunSettings, runtime: RuntimeSettings, pictures: Sequence[Path], count: int
) -> tuple[list[Loaded], tuple[str, ...]]:
    """The user's pictures, or, without any, images spread evenly over the settings' split; names of the classes."""
    cache_dir = None if runtime.data_dir is None else Path(runtime.data_dir)
    dataset = build_segmentation_set(
        settings.data, settings.segmentation, settings.data.eval_split, cache_dir=cache_dir
    )
    found: list[Loaded] = [(read_image(path), path.name, None) for path in pictures]
    if not found:
        indices = spread_indices(len(dataset), count)
        found = [(dataset.read(index), dataset.name(index), dataset.labels(index)) for index in indices]
    return found, dataset.class_names


@torch.no_grad()
def _segmented(
    network: SegmentationNetwork,
    costs: PyramidCosts,
    settings: RunSettings,
    image: np.ndarray,
    title: str,
    true_labels: np.ndarray | None,
    device: torch.device,
) -> SegmentedImage:
    resized = network_pixels(image, settings.segmentation)
    size = (resized.shape[0], resized.shape[1])
    pixels = normalise_images(resized[None]).to(device)
    logits, trace = network.segment(pixels)
    ledger = costs.ledger(trace, size, 1)
    return SegmentedImage(
        image=image,
        labels=predict_labels(logits[0], (image.shape[0], image.shape[1]), through=size).cpu().numpy(),
        true_labels=true_labels,
        kept={} if trace is None else kept_maps(trace, costs.grid(size)),
        live=ledger.live[0],
        network_input=denormalise_images(pixels.cpu())[0],
        gmacs=float(ledger.macs[0]) / 1e9,
        title=title,
    )
