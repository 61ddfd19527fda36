"""An ImageNet folder in small, and a network that is right about part of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.models.pvt_v2 import PyramidVisionTransformerV2
from torch import nn

import dit_bench.models.zoo  # noqa: F401 - registers our models
from dit_bench.data.transforms import normalise_images

# Imagenette's classes with the labels that they have in ImageNet, as every list of the 1000 classes prints them.
SYNSETS = {
    "n01440764": 0,
    "n02102040": 217,
    "n02979186": 482,
    "n03000684": 491,
    "n03028079": 497,
    "n03394916": 566,
    "n03417042": 569,
    "n03425413": 571,
    "n03445777": 574,
    "n03888257": 701,
}
COLOURS = [(k * 25, 255 - k * 25, (k * 83) % 256) for k in range(10)]
SIDE_PX = 64


@pytest.fixture(scope="session")
def imagenet_labels() -> dict[str, int]:
    """ImageNet's label of each class of `synset_folder`, in sorted order of the synsets."""
    return SYNSETS


@pytest.fixture(scope="session")
def class_colours() -> list[tuple[int, int, int]]:
    """The colour of each class of `synset_folder`."""
    return COLOURS


@pytest.fixture(scope="session")
def synset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`val` with ten synsets of three JPEGs: two in the class's colour, one in the colour of the class after next."""
    root = tmp_path_factory.mktemp("imagenet")
    rng = np.random.default_rng(0)
    for number, synset in enumerate(SYNSETS):
        folder = root / "val" / synset
        folder.mkdir(parents=True)
        for k, colour in enumerate((number, number, (number + 2) % 10)):
            pixels = np.array(COLOURS[colour]) + rng.normal(0, 12, (96, 80, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{synset}_{k}.JPEG")
    return root


@pytest.fixture(scope="session")
def colour_weights() -> dict[str, torch.Tensor]:
    """Weights of pvt_v2_nano with ten classes whose head names the class of the nearest colour."""
    torch.manual_seed(0)
    model = timm.create_model("pvt_v2_nano", num_classes=10).eval()
    assert isinstance(model, PyramidVisionTransformerV2)
    plain = np.broadcast_to(np.array(COLOURS, np.uint8)[:, None, None], (10, SIDE_PX, SIDE_PX, 3))
    head = model.get_classifier()
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        features = model.forward_head(model.forward_features(normalise_images(plain)), pre_logits=True)
        head.weight.copy_(2 * features)
        head.bias.copy_(-features.square().sum(dim=1))
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}


@pytest.fixture(scope="session")
def as_imagenet_classifier() -> Callable[..., dict[str, torch.Tensor]]:
    """Spread a ten-class head over ImageNet's 1000 classes; the others get the bias `elsewhere`."""

    def spread(weights: dict[str, torch.Tensor], elsewhere: float = -1e4) -> dict[str, torch.Tensor]:
        numbers = list(SYNSETS.values())
        weight, bias = torch.zeros(1000, weights["head.weight"].shape[1]), torch.full((1000,), elsewhere)
        weight[numbers], bias[numbers] = weights["head.weight"], weights["head.bias"]
        return {**weights, "head.weight": weight, "head.bias": bias}

    return spread
