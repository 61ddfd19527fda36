"""What the picture of a detector's work needs: detections on single pictures, and where their tokens went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dit_bench.data.coco.build import build_detection_set
from dit_bench.data.coco.detection_set import DetectionSet
from dit_bench.data.coco.grouping import padded_size
from dit_bench.data.coco.transforms import Picture, resize
from dit_bench.data.images import read_image
from dit_bench.data.transforms import denormalise_images, normalise_images
from dit_bench.engine.dense_views import RoutedPicture, spread_indices
from dit_bench.engine.detection_build import load_detector
from dit_bench.engine.devices import prepare
from dit_bench.engine.pyramid_costs import PyramidCosts
from dit_bench.engine.views import kept_maps
from dit_bench.models.detectors.network import DetectionNetwork
from dit_bench.models.detectors.structures import PaddedImages
from dit_bench.recipes.settings import RunSettings, RuntimeSettings
from dit_bench.runs.read import FinishedRun
from dit_bench.tasks.detection.pasting import paste_masks


@dataclass(frozen=True)
class DetectedImage(RoutedPicture):
    """One picture in its own size, what was found in it, and its route."""

    boxes: np.ndarray
    """float64 (n, 4): x1, y1, x2, y2 in pixels of the picture."""
    labels: np.ndarray
    """int64 (n,)."""
    scores: np.ndarray
    """float64 (n,), best first."""
    masks: np.ndarray | None
    """bool (n, H, W); None for detectors of boxes."""
    true_boxes: np.ndarray | None
    """float64 (m, 4); None for pictures without annotations."""
    true_labels: np.ndarray | None


def detected_pictures(
    run: FinishedRun, runtime: RuntimeSettings, pictures: Sequence[Path], count: int
) -> tuple[list[DetectedImage], tuple[str, ...]]:
    """Detections on the user's pictures, or on `count` images of the split that the run was evaluated on; class names.

    Raises DataError if a picture or the data set cannot be read, WeightsError if the run's weights are damaged.
    """
    settings = run.record.settings
    device = prepare(runtime)
    cache_dir = None if runtime.data_dir is None else Path(runtime.data_dir)
    dataset = build_detection_set(settings.data, settings.data.eval_split, training=False, cache_dir=cache_dir)
    network = load_detector(settings, run.weights_file, dataset.num_classes).to(device)
    costs = PyramidCosts(network, settings.model.name)
    loaded = [(read_image(path), path.name, None) for path in pictures] or list(_of_dataset(dataset, count))
    found = [_detected(network, costs, settings, *item, device) for item in loaded]
    return found, dataset.class_names


def _of_dataset(dataset: DetectionSet, count: int) -> Iterator[tuple[np.ndarray, str, tuple[np.ndarray, np.ndarray]]]:
    """Images spread evenly over the data set, with their objects."""
    for index in spread_indices(len(dataset), count):
        objects = dataset.objects(index, masks=False)
        yield dataset.read(index), f"image {dataset.image_id(index)}", (objects.boxes, objects.labels)


@torch.no_grad()
def _detected(
    network: DetectionNetwork,
    costs: PyramidCosts,
    settings: RunSettings,
    image: np.ndarray,
    title: str,
    truth: tuple[np.ndarray, np.ndarray] | None,
    device: torch.device,
) -> DetectedImage:
    nothing = np.zeros((0, 4)), np.zeros(0, np.int64)
    detection = settings.detection
    resized = resize(Picture(image, *nothing, None), detection.test_short_side_px, detection.max_long_side_px).pixels
    size = (resized.shape[0], resized.shape[1])
    padded = padded_size([size])
    pixels = torch.zeros(1, 3, *padded, device=device)
    pixels[:, :, : size[0], : size[1]] = normalise_images(resized[None]).to(device)
    (detections,), trace = network.detect(PaddedImages(pixels, [size]))
    ledger = costs.ledger(trace, padded, 1)
    kept = {} if trace is None else kept_maps(trace, costs.grid(padded))
    down, across = image.shape[0] / size[0], image.shape[1] / size[1]
    boxes = detections.boxes.cpu().double().numpy() * (across, down, across, down)
    masks = None
    if detections.masks is not None:
        masks = paste_masks(detections.masks.cpu().float().numpy(), boxes, (image.shape[0], image.shape[1]))
    return DetectedImage(
        image=image,
        boxes=boxes,
        labels=detections.labels.cpu().numpy(),
        scores=detections.scores.cpu().double().numpy(),
        masks=masks,
        true_boxes=None if truth is None else truth[0],
        true_labels=None if truth is None else truth[1],
        kept=kept,
        live=ledger.live[0],
        network_input=denormalise_images(pixels.cpu())[0],
        gmacs=float(ledger.macs[0]) / 1e9,
        title=title,
    )
