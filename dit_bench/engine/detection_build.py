"""From settings to a detection network."""

from __future__ import annotations

from pathlib import Path

from dit_bench.engine.pyramid_build import build_pyramid, load_network
from dit_bench.models.detectors.network import DetectionNetwork
from dit_bench.models.detectors.registry import build_detector
from dit_bench.recipes.settings import RunSettings


def build_detection_network(settings: RunSettings, num_classes: int) -> DetectionNetwork:
    """The network of the settings, freshly initialised from torch's global stream. Raises as `build_pyramid` does."""
    detection = settings.detection
    backbone = build_pyramid(settings, frozen_stages=detection.frozen_stages)
    detector = build_detector(
        detection.detector,
        backbone.widths,
        num_classes,
        width_divisor=detection.width_divisor,
        regions_per_image=detection.regions_per_image,
        num_queries=detection.num_queries,
    )
    return DetectionNetwork(backbone, detector)


def load_detector(settings: RunSettings, weights: Path, num_classes: int) -> DetectionNetwork:
    """The network of the settings with weights of a whole detection network. Raises as `load_network` does."""
    return load_network(lambda bare: build_detection_network(bare, num_classes), settings, weights)
