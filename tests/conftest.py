"""An ImageNet folder in small, a network that is right about part of it, and other packages that plug things in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.models.pvt_v2 import PyramidVisionTransformerV2
from torch import nn

import dit_bench.models.zoo  # noqa: F401 - registers our models
from dit_bench import plugins
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


EXAMPLE_PACKAGE = Path(__file__).resolve().parent / "example_plugin"


@pytest.fixture(scope="session")
def example_folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders that make the example package importable, and its entry points visible, once they are on a path."""
    project = ConfigParser(interpolation=None)
    project.read(EXAMPLE_PACKAGE / "pyproject.toml", encoding="utf-8")
    offered = {
        section.partition('"')[2].rstrip('"'): {name: target.strip('"') for name, target in project[section].items()}
        for section in project.sections()
        if section.startswith("project.entry-points.")
    }
    metadata = tmp_path_factory.mktemp("metadata")
    _write_metadata(metadata, project["project"]["name"].strip('"'), project["project"]["version"].strip('"'), offered)
    return [EXAMPLE_PACKAGE / "src", metadata]


@pytest.fixture
def example_package(example_folders: list[Path], visible_package: Callable[[Path], None]) -> Path:
    """The example package as if it were installed; the folder of its project."""
    for folder in example_folders:
        visible_package(folder)
    return EXAMPLE_PACKAGE


@pytest.fixture
def make_package(tmp_path: Path, visible_package: Callable[[Path], None]) -> Callable[..., str]:
    """Makes a package with one module appear installed: its name, the module's text, names and targets by group."""

    def make(name: str, text: str, **offered: dict[str, str]) -> str:
        folder = tmp_path / f"site-{name}"
        folder.mkdir()
        module = name.replace("-", "_")
        (folder / f"{module}.py").write_text(text, encoding="utf-8")
        groups = {
            f"dit_bench.{kind}": {entry: f"{module}:{target}" for entry, target in entries.items()}
            for kind, entries in offered.items()
        }
        _write_metadata(folder, name, "1.2.3", groups)
        visible_package(folder)
        return module

    return make


@pytest.fixture
def visible_package(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Puts a folder on the path; what was imported from it, and loaded as a plug-in, is forgotten at the end."""
    folders: list[Path] = []

    def show(folder: Path) -> None:
        folders.append(folder)
        monkeypatch.syspath_prepend(str(folder))

    loaded = dict(plugins._loaded)
    yield show
    for name, module in list(sys.modules.items()):
        if any(folder in Path(getattr(module, "__file__", None) or "").parents for folder in folders):
            del sys.modules[name]
    plugins._loaded.clear()
    plugins._loaded.update(loaded)


def _write_metadata(folder: Path, name: str, version: str, groups: Mapping[str, Mapping[str, str]]) -> None:
    """What an installer leaves beside a package for others to find."""
    information = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
    )
    lines = []
    for group, entries in groups.items():
        lines += [f"[{group}]", *(f"{entry} = {target}" for entry, target in entries.items())]
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
