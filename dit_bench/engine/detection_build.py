"""From settings to a detection network, with clear refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dit_bench.engine.build import check_model_name, routing_options
from dit_bench.errors import UsageError, WeightsError
from dit_bench.models.detectors.backbones import Backbone, build_backbone
from dit_bench.models.detectors.network import DetectionNetwork
from dit_bench.models.detectors.registry import build_detector
from dit_bench.models.weights import head_classes, load_into, read_weights
from dit_bench.models.zoo import create, default_image_size, is_routed
from dit_bench.recipes.settings import RunSettings


def build_detection_network(settings: RunSettings, num_classes: int) -> DetectionNetwork:
    """The network of the settings, freshly initialised from torch's global stream.

    With `model.init_weights` the backbone starts from the weights of a classifier of the same name. Raises UsageError
    for an unknown name or a combination that the backbone refuses; WeightsError for wrong weights.
    """
    name, detection = settings.model.name, settings.detection
    check_model_name(name)
    arguments: dict[str, Any] = {}
    if settings.model.drop_path_rate > 0:
        arguments["drop_path_rate"] = settings.model.drop_path_rate
    if is_routed(name):
        try:
            arguments["routing"] = routing_options(settings.routing)
        except ValueError as error:
            raise UsageError(f"routing: {error}") from error
    elif settings.routing.variant != "diagonal":
        raise UsageError(
            f"routing.variant={settings.routing.variant}: {name} has no gates",
            remedy="use routing.variant=diagonal or a dit_ model",
        )
    try:
        backbone = build_backbone(name, frozen_stages=detection.frozen_stages, **arguments)
    except (ValueError, TypeError, AssertionError) as error:
        raise UsageError(f"{name} as a backbone: {error}") from error
    if settings.model.init_weights is not None:
        _start_from(backbone, name, Path(settings.model.init_weights), arguments)
    detector = build_detector(
        detection.detector,
        backbone.widths,
        num_classes,
        width_divisor=detection.width_divisor,
        regions_per_image=detection.regions_per_image,
    )
    network = DetectionNetwork(backbone, detector)
    if network.routed is not None:
        network.routed.compile_kernels = settings.numerics.compile
    return network


def _start_from(backbone: Backbone, name: str, file: Path, arguments: dict[str, Any]) -> None:
    """Copy a classifier's weights into a backbone; what only the classifier has is left out."""
    weights = read_weights(file)
    num_classes = head_classes(weights) or 0
    classifier = create(name, num_classes=num_classes, image_size=default_image_size(name), **arguments)
    load_into(classifier, weights, str(file))
    given, wanted = classifier.state_dict(), backbone.model.state_dict()
    wrong = sorted(key for key, tensor in wanted.items() if key not in given or given[key].shape != tensor.shape)
    if wrong:
        raise WeightsError(
            f"{file}: the classifier {name} has no weights for {len(wrong)} tensors of the backbone, as {wrong[0]}",
            remedy="give weights of a classifier with the same routing settings",
        )
    backbone.model.load_state_dict({key: given[key] for key in wanted})
