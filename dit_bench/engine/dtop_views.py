"""What the picture of pruning needs: where tokens of single pictures left, and what their pixels were taken for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dit_bench.data.coco.grouping import PAD_MULTIPLE_PX
from dit_bench.data.segmentation.transforms import network_pixels
from dit_bench.data.transforms import normalise_images
from dit_bench.engine.devices import prepare
from dit_bench.engine.dtop_windows import cut_windows, merge_windows
from dit_bench.engine.segmentation_build import load_segmenter, set_pruning
from dit_bench.engine.segmentation_views import read_pictures
from dit_bench.errors import UsageError
from dit_bench.models.dtop.costs import DTopCosts
from dit_bench.models.dtop.network import DTopNetwork
from dit_bench.recipes.settings import RunSettings, RuntimeSettings
from dit_bench.runs.read import FinishedRun
from dit_bench.tasks.segmentation.labelling import predict_labels


@dataclass(frozen=True)
class PrunedImage:
    """One picture in its own size, what its pixels were taken for, and when their tokens left."""

    image: np.ndarray
    """uint8 (H, W, 3)."""
    labels: np.ndarray
    """uint8 (H, W): the class of every pixel."""
    true_labels: np.ndarray | None
    """uint8 (H, W), 255 where nothing is known; None for pictures without label images."""
    exits: np.ndarray
    """int8 (h, w) over the whole picture: the stage, from 1, after which the token there left; M if none did."""
    gmacs: float
    """Executed, per window."""
    baseline_gmacs: float
    title: str


def pruned_pictures(
    run: FinishedRun, runtime: RuntimeSettings, pictures: Sequence[Path], count: int
) -> tuple[list[PrunedImage], tuple[str, ...], tuple[int, ...]]:
    """The user's pictures, or `count` images of the evaluated split; names of the classes; layers that end stages.

    Raises DataError if a picture or the data set cannot be read, WeightsError if the run's weights are damaged,
    UsageError for a network that prunes nothing.
    """
    settings = run.record.settings
    device = prepare(runtime)
    loaded, class_names = read_pictures(settings, runtime, pictures, count)
    network = load_segmenter(settings, run.weights_file, len(class_names)).to(device)
    if not isinstance(network, DTopNetwork):
        raise UsageError(
            f"{run.path.name} has no tokens to prune", remedy="name a recipe of DToP, as dtop/table1, or plot segments"
        )
    set_pruning(network, settings, training=False)
    drawn = [_pruned(network, settings, *item, device) for item in loaded]
    return drawn, class_names, network.stage_ends


@torch.no_grad()
def _pruned(
    network: DTopNetwork,
    settings: RunSettings,
    image: np.ndarray,
    title: str,
    true_labels: np.ndarray | None,
    device: torch.device,
) -> PrunedImage:
    stride_px, window_px = settings.pruning.slide_stride_px, settings.segmentation.crop_px
    multiple = PAD_MULTIPLE_PX if stride_px is None else 1
    pixels = normalise_images(network_pixels(image, settings.segmentation, multiple)[None]).to(device)
    size = (pixels.shape[2], pixels.shape[3])
    if stride_px is None:
        scores, trace = network.segment(pixels)
        merged, exits, window = scores[0], trace.exits[0], size
    else:
        windows, corners = cut_windows(pixels[0], window_px, stride_px)
        window = (window_px, window_px)
        scores, trace = network.segment(windows)
        merged = merge_windows(scores.float(), corners, window_px, size)
        exits = _mosaic(trace.exits, corners, window_px, size)
    costs = DTopCosts.of(network, window)
    macs = [costs.macs(live, trace.heads_run, upsamplings=0) for live in trace.live.tolist()]
    return PrunedImage(
        image=image,
        labels=predict_labels(merged, (image.shape[0], image.shape[1]), through=size).cpu().numpy(),
        true_labels=true_labels,
        exits=exits.cpu().numpy(),
        gmacs=sum(macs) / len(macs) / 1e9,
        baseline_gmacs=costs.baseline() / 1e9,
        title=title,
    )


def _mosaic(exits: Tensor, corners: list[tuple[int, int]], window_px: int, size: tuple[int, int]) -> Tensor:
    """Exits `(H, W)` of an image from those of its windows `(n, h, w)`; where windows overlap, the first one's."""
    whole = exits.new_zeros(size)
    for window, (top, left) in zip(exits, corners, strict=True):
        enlarged = functional.interpolate(window[None, None].float(), size=(window_px, window_px), mode="nearest")
        place = whole[top : top + window_px, left : left + window_px]
        place.copy_(torch.where(place == 0, enlarged[0, 0].to(exits.dtype), place))
    return whole
