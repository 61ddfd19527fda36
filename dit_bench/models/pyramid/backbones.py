"""Every model of the zoo as a backbone for dense prediction: four maps of strides 4, 8, 16 and 32, no classifier."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from timm.models.convnext import ConvNeXt
from timm.models.mvitv2 import MultiScaleVit
from timm.models.resnet import ResNet
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dit_bench.cost.formulas import Grid
from dit_bench.errors import UsageError
from dit_bench.models.dit.model import DiT
from dit_bench.models.dit.trace import RoutingTrace
from dit_bench.models.pyramid.mvit import coarsen_global_keys, multi_scale_maps
from dit_bench.models.pyramid.swin import window_maps
from dit_bench.models.zoo import create, default_image_size

STRIDES = (4, 8, 16, 32)


class Backbone(nn.Module, ABC):
    """A network without its classifier. `model` keeps the names that its weights have for classification."""

    strides: tuple[int, ...] = STRIDES
    """Pixels of the image per cell of each map, down and across."""

    def __init__(self, model: nn.Module, widths: list[int]):
        super().__init__()
        self.model = model
        self.widths = list(widths)

    @abstractmethod
    def forward(self, pixels: Tensor) -> tuple[list[Tensor], RoutingTrace | None]:
        """Maps `(B, C_i, H / s_i, W / s_i)` of images `(B, 3, H, W)`, s the strides; the routing, if any.

        The sides of the images are multiples of 32.
        """

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that the model wants to keep from weight decay."""
        names: Any = getattr(self.model, "no_weight_decay", set)
        own = {name for name, _ in self.model.named_parameters()}
        return {f"model.{name}" for name in names() if name in own}


class PyramidBackbone(Backbone):
    """Any network that has the four strides inside: ResNet, ResNeXt, ConvNeXt, PVT, PVTv2.

    With `frozen_stages` = n > 0 the stem and the first n stages of a ResNet are not trained, and all of its batch
    norms keep their running statistics; scale and shift of those in later stages are trained nevertheless (the habit of
    detectors that start from ImageNet weights). With an `output_stride` below 32, which the model was built for, a
    ResNet's last maps all have it.
    """

    def __init__(self, model: nn.Module, name: str, frozen_stages: int = 0, output_stride: int = STRIDES[-1]):
        strides = tuple(min(stride, output_stride) for stride in STRIDES)
        indices, widths = _maps_of(model, strides, name)
        super().__init__(model, widths)
        self.strides = strides
        self._indices = indices
        self._keep_statistics = frozen_stages > 0
        features: Any = model
        features.prune_intermediate_layers(indices, prune_norm=True)
        # ConvNeXt's own code for detection normalises each output, as Swin's does.
        self.norms = _output_norms(widths, eps=1e-6) if isinstance(model, ConvNeXt) else None
        if frozen_stages:
            _freeze(model, frozen_stages, name)
        self.train(self.training)

    def forward(self, pixels: Tensor) -> tuple[list[Tensor], RoutingTrace | None]:
        """See `Backbone`."""
        features: Any = self.model
        maps: list[Tensor] = features.forward_intermediates(pixels, indices=self._indices, intermediates_only=True)
        if self.norms is not None:
            maps = [norm(cells.permute(0, 2, 3, 1)) for norm, cells in zip(self.norms, maps, strict=True)]
            maps = [cells.permute(0, 3, 1, 2) for cells in maps]
        return maps, None

    def train(self, mode: bool = True) -> PyramidBackbone:
        """Training mode, but for batch norms that keep their statistics."""
        super().train(mode)
        if self._keep_statistics:
            for module in self.model.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


class RoutedBackbone(Backbone):
    """DiT: the normalised maps of its last column, and what its gates decided."""

    model: DiT

    def __init__(self, model: DiT):
        super().__init__(model, list(model.shape.embed_dims))

    def forward(self, pixels: Tensor) -> tuple[list[Tensor], RoutingTrace | None]:
        """See `Backbone`."""
        return self.model.pyramid(pixels)


class WindowBackbone(Backbone):
    """Swin on images of any size, each output behind a norm of its own (Swin's code for detection)."""

    model: SwinTransformer

    def __init__(self, model: SwinTransformer):
        super().__init__(model, [info["num_chs"] for info in model.feature_info])
        model.norm = nn.Identity()
        self.norms = _output_norms(self.widths, eps=1e-5)

    def forward(self, pixels: Tensor) -> tuple[list[Tensor], RoutingTrace | None]:
        """See `Backbone`."""
        maps = window_maps(self.model, pixels)
        return [norm(cells).permute(0, 3, 1, 2) for norm, cells in zip(self.norms, maps, strict=True)], None


class MultiScaleBackbone(Backbone):
    """MViTv2 with hybrid window attention, each output behind a norm of its own."""

    model: MultiScaleVit

    def __init__(self, model: MultiScaleVit):
        super().__init__(model, [info["num_chs"] for info in model.feature_info])
        model.norm = nn.Identity()
        coarsen_global_keys(model)
        self.norms = _output_norms(self.widths, eps=1e-6)

    def forward(self, pixels: Tensor) -> tuple[list[Tensor], RoutingTrace | None]:
        """See `Backbone`."""
        maps = multi_scale_maps(self.model, pixels)
        return [norm(cells).permute(0, 3, 1, 2) for norm, cells in zip(self.norms, maps, strict=True)], None


class ColumnarBackbone(Backbone):
    """ViT: its only map, resized to the four strides (PVT Table 8 says no more than that ViT's output is single-scale).

    Finer maps are interpolated bilinearly, coarser ones averaged; neither has parameters, which is what the printed
    parameters demand.
    """

    model: VisionTransformer

    def __init__(self, model: VisionTransformer):
        super().__init__(model, [model.embed_dim] * len(STRIDES))
        # A count in place of indices means the last so many blocks.
        model.prune_intermediate_layers(1, prune_norm=False)

    def forward(self, pixels: Tensor) -> tuple[list[Tensor], RoutingTrace | None]:
        """See `Backbone`."""
        found: Any = self.model.forward_intermediates(pixels, indices=1, norm=True, intermediates_only=True)
        return [_resized(found[0], (pixels.shape[2] // s, pixels.shape[3] // s)) for s in STRIDES], None


def build_backbone(
    name: str, *, frozen_stages: int = 0, output_stride: int = STRIDES[-1], **arguments: Any
) -> Backbone:
    """A freshly initialised backbone by its name in the zoo.

    An `output_stride` of 8 or 16 is that of a ResNet's last map: the stages that would go beyond are dilated instead of
    strided (rates 2, 4), with the same weights. `arguments` go to the model's constructor (drop path, DiT's routing).
    Raises UsageError for a model whose maps have other strides than 4, 8, 16 and 32, or that has no stages to freeze or
    dilate.
    """
    if output_stride != STRIDES[-1]:
        if not _is_resnet(name):
            raise _nothing_to_dilate(name)
        arguments["output_stride"] = output_stride
    if name.startswith("swin_"):
        # Windows are never shrunk to a small map nor left unshifted there: maps of detection are larger. And timm's
        # Swin would drop paths without being asked.
        arguments = {"strict_img_size": False, "always_partition": True, "drop_path_rate": 0.0, **arguments}
    model = create(name, num_classes=0, image_size=default_image_size(name), **arguments)
    if isinstance(model, MultiScaleVit) and model.cls_token is not None:
        raise _no_pyramid(name)
    for kind, adapter in _ADAPTERS:
        if isinstance(model, kind):
            if frozen_stages:
                raise _nothing_to_freeze(name)
            return adapter(model)
    return PyramidBackbone(model, name, frozen_stages, output_stride)


_ADAPTERS: tuple[tuple[type[nn.Module], Any], ...] = (
    (DiT, RoutedBackbone),
    (SwinTransformer, WindowBackbone),
    (MultiScaleVit, MultiScaleBackbone),
    (VisionTransformer, ColumnarBackbone),
)


def _output_norms(widths: list[int], eps: float) -> nn.ModuleList:
    return nn.ModuleList([nn.LayerNorm(width, eps=eps) for width in widths])


def _maps_of(model: nn.Module, strides: tuple[int, ...], name: str) -> tuple[list[int], list[int]]:
    """Which of a model's maps have these strides, each the last one before the next coarser, and their widths."""
    infos: Any = getattr(model, "feature_info", [])
    reductions = [info["reduction"] for info in infos]
    indices: list[int] = []
    for stride in reversed(strides):
        before = reductions[: indices[0]] if indices else reductions
        if stride not in before or not hasattr(model, "forward_intermediates"):
            raise _no_pyramid(name)
        indices.insert(0, max(index for index, reduction in enumerate(before) if reduction == stride))
    return indices, [infos[index]["num_chs"] for index in indices]


def _no_pyramid(name: str) -> UsageError:
    return UsageError(
        f"model.name={name} has no maps of strides {', '.join(map(str, STRIDES))}",
        remedy="detection and segmentation need a backbone with a pyramid, such as dit_b2, pvt_v2_b2 or resnet50",
    )


def _freeze(model: nn.Module, stages: int, name: str) -> None:
    if not isinstance(model, ResNet):
        raise _nothing_to_freeze(name)
    for part in (model.conv1, model.bn1, *(getattr(model, f"layer{number}") for number in range(1, stages + 1))):
        part.requires_grad_(False)


def _nothing_to_freeze(name: str) -> UsageError:
    return UsageError(
        f"detection.frozen_stages: {name} has no stages that can be frozen",
        remedy="set detection.frozen_stages=0, or use a ResNet or ResNeXt",
    )


def _is_resnet(name: str) -> bool:
    """Whether a model of the zoo is a ResNet of any kind; built on the meta device to know."""
    with torch.device("meta"):
        return isinstance(create(name, num_classes=0, image_size=default_image_size(name)), ResNet)


def _nothing_to_dilate(name: str) -> UsageError:
    return UsageError(
        f"segmentation.output_stride: {name} has no stages that can be dilated",
        remedy="set segmentation.output_stride=32, or use a ResNet or ResNeXt",
    )


def _resized(cells: Tensor, size: Grid) -> Tensor:
    """A map `(B, C, h, w)` on another grid."""
    grid = (cells.shape[2], cells.shape[3])
    if grid == size:
        return cells
    if size[0] < grid[0]:
        return F.adaptive_avg_pool2d(cells, size)
    return F.interpolate(cells, size=size, mode="bilinear", align_corners=False)
