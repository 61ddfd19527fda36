"""From settings to the backbone of a network for dense prediction, with clear refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from dit_bench.engine.build import check_model_name, routing_arguments
from dit_bench.errors import UsageError, WeightsError
from dit_bench.models.dit.model import DiT
from dit_bench.models.pyramid.backbones import Backbone, build_backbone
from dit_bench.models.weights import head_classes, load_into, read_weights
from dit_bench.models.zoo import create, default_image_size
from dit_bench.recipes.settings import RunSettings

Network = TypeVar("Network", bound=nn.Module)


def build_pyramid(settings: RunSettings, **options: Any) -> Backbone:
    """The backbone of the settings, freshly initialised from torch's global stream.

    With `model.init_weights` it starts from the weights of a classifier of the same name. `options` are the task's, as
    the stages to freeze. Raises UsageError for an unknown name or a combination that the backbone refuses;
    WeightsError for wrong weights.
    """
    name = settings.model.name
    check_model_name(name)
    arguments = routing_arguments(settings)
    if settings.model.drop_path_rate > 0:
        arguments["drop_path_rate"] = settings.model.drop_path_rate
    try:
        backbone = build_backbone(name, **options, **arguments)
    except (ValueError, TypeError, AssertionError) as error:
        raise UsageError(f"{name} as a backbone: {error}") from error
    if settings.model.init_weights is not None:
        start_from_classifier(backbone.model, name, Path(settings.model.init_weights), arguments)
    if isinstance(backbone.model, DiT):
        backbone.model.compile_kernels = settings.numerics.compile
    return backbone


def load_network(build: Callable[[RunSettings], Network], settings: RunSettings, weights: Path) -> Network:
    """What `build` makes of the settings, with weights of a whole network of its kind, ready for inference.

    Raises WeightsError if the file is missing, damaged, of another architecture or of other classes.
    """
    tensors = read_weights(weights)
    bare = settings.model_copy(update={"model": settings.model.model_copy(update={"init_weights": None})})
    network = build(bare)
    load_into(network, tensors, str(weights))
    return network.eval()


def start_from_classifier(model: nn.Module, name: str, file: Path, arguments: dict[str, Any]) -> None:
    """Copy a classifier's weights into the model of a backbone; what only the classifier has is left out.

    Raises WeightsError if the file is no classifier of that name, or lacks what the backbone has.
    """
    weights = read_weights(file)
    num_classes = head_classes(weights) or 0
    classifier = create(name, num_classes=num_classes, image_size=default_image_size(name), **arguments)
    load_into(classifier, weights, str(file))
    given, wanted = classifier.state_dict(), model.state_dict()
    wrong = sorted(key for key, tensor in wanted.items() if key not in given or given[key].shape != tensor.shape)
    if wrong:
        raise WeightsError(
            f"{file}: the classifier {name} has no weights for {len(wrong)} tensors of the backbone, as {wrong[0]}",
            remedy="give weights of a classifier with the same routing settings",
        )
    model.load_state_dict({key: given[key] for key in wanted})
