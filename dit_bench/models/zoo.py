"""All models by name: timm's registry with ours in it, and those of other packages.

Importing this module registers ours; other packages are imported when one of their models is made.
"""

from __future__ import annotations

from typing import Any

import timm
from torch import nn

# Imported for what they register.
import dit_bench.models.cvt
import dit_bench.models.dit.registry
import dit_bench.models.dtop.vit_mini
import dit_bench.models.pvt_v1
import dit_bench.models.resnet_c
import dit_bench.models.resnet_small
import dit_bench.models.vit_small  # noqa: F401
from dit_bench.cost.formulas import Grid
from dit_bench.models.pvt import SIZES, SMALL_SIZES
from dit_bench.plugins import Plugin, find_plugin, plugin_names

PYRAMID_NAMES = {f"{family}_{size}": size for family in ("dit", "pvt_v2") for size in SIZES}
"""Models on the routing grid, or on its diagonal, with their PVTv2 size."""


def is_routed(name: str) -> bool:
    """Whether a model is a DiT, on the grid itself and not only its diagonal."""
    return size_of(name) is not None and name.startswith("dit_")


SMALL_IMAGE_SIDE_PX = 64
"""What our small sizes are made for."""


OPTIONAL_ARGUMENTS = ("drop_rate", "drop_path_rate")
"""Arguments that a model of another package is given only where they are above zero."""
NUM_CLASSES = 1000
"""Classes of a model of another package, where nobody says how many: ImageNet's."""


def model_names() -> list[str]:
    """Every name that `create` knows: timm's models, ours, and those of other packages."""
    return [*timm.list_models(), *plugin_names("models")]


def plugin_model(name: str) -> Plugin | None:
    """The other package's model of a name; None for timm's and ours. Raises UsageError for a name with two origins."""
    origin = None
    if timm.is_model(name):
        origin = "dit-bench" if timm.model_entrypoint(name).__module__.startswith("dit_bench.") else "timm"
    return find_plugin("models", name, also_of=origin)


def size_of(name: str) -> str | None:
    """The PVTv2 size (a key of `SIZES`) behind a model; None for a model that has no routing grid around it."""
    return PYRAMID_NAMES.get(name)


def default_image_size(name: str) -> Grid:
    """Height and width of the input that a model was published for."""
    default = timm.get_pretrained_cfg(name)
    if default is not None and default.input_size is not None:
        return default.input_size[1], default.input_size[2]
    side_px = SMALL_IMAGE_SIDE_PX if size_of(name) in SMALL_SIZES else 224
    return side_px, side_px


def create(name: str, *, num_classes: int | None, image_size: Grid, **arguments: Any) -> nn.Module:
    """A freshly initialised model for images of (height, width) pixels; `num_classes` None keeps the model's own.

    Models whose layers depend on the input size are built for it; the others take any size. Raises ValueError,
    TypeError or AssertionError for arguments and sizes that the model's constructor refuses, PluginError for a model of
    another package that cannot be made.
    """
    plugin = plugin_model(name)
    if plugin is not None:
        return _of_package(plugin, num_classes, image_size, arguments)
    default = timm.get_pretrained_cfg(name)
    if default is not None and default.fixed_input_size and tuple(default.input_size[1:]) != tuple(image_size):
        arguments["img_size"] = image_size
    if num_classes is not None:
        arguments["num_classes"] = num_classes
    model = timm.create_model(name, **arguments)
    if "img_size" in arguments:
        _refuse_cut_patches(model, image_size)
    return model


def _of_package(plugin: Plugin, num_classes: int | None, image_size: Grid, arguments: dict[str, Any]) -> nn.Module:
    """A model of another package: its function takes `num_classes`, `image_size` and what a recipe asks for besides."""
    # A model without dropout need not know the words for it.
    asked = {key: value for key, value in arguments.items() if key not in OPTIONAL_ARGUMENTS or value}
    classes = NUM_CLASSES if num_classes is None else num_classes
    model = plugin.call(num_classes=classes, image_size=tuple(image_size), **asked)
    if not isinstance(model, nn.Module):
        raise plugin.refusal(f"it returned {type(model).__name__}, not a torch.nn.Module")
    return model


def _refuse_cut_patches(model: nn.Module, image_size: Grid) -> None:
    """A model of one patch size would leave out the border of other inputs without a word."""
    patch_size = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if isinstance(patch_size, tuple) and any(side % patch for side, patch in zip(image_size, patch_size, strict=True)):
        raise ValueError(f"its sides must be multiples of the patch, {patch_size[0]}x{patch_size[1]}")
