"""DiT as a classifier and as a backbone: stem, routing grid, head (DiT §3.1), with timm's model interface."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from timm.layers import calculate_drop_path_rates, trunc_normal_
from timm.models._features import feature_take_indices
from timm.models.pvt_v2 import OverlapPatchEmbed
from torch import Tensor, nn

from dit_bench.cost.formulas import Grid, PyramidShape
from dit_bench.models.dit.costs import GridCosts, grid_costs
from dit_bench.models.dit.gates import RoutingGate
from dit_bench.models.dit.grid import RoutingGrid, StageRunner
from dit_bench.models.dit.options import SELECTED_ROWS, RoutingOptions, RoutingState
from dit_bench.models.dit.packed import packed_stage
from dit_bench.models.dit.padded import padded_stage
from dit_bench.models.dit.policies import RoutingContext
from dit_bench.models.dit.selection import image_seeds, matched_counts
from dit_bench.models.dit.trace import RoutingTrace

Execution = Literal["auto", "masked", "packed", "padded"]


class DiT(nn.Module):
    """The dynamic vision transformer over a PVTv2 size.

    `execution` chooses how kept tokens are computed: `masked` computes everything and masks (training, reference),
    `packed` computes only kept tokens (inference), `padded` pads each image's to the longest (a baseline for
    benchmarks), `auto` picks masked or packed by mode. All give the same masks and logits. `compile_kernels` lets
    packed execution use a kernel made by torch's compiler, which takes seconds to make once.
    """

    def __init__(
        self,
        shape: PyramidShape,
        routing: RoutingOptions | None = None,
        *,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ):
        super().__init__()
        if global_pool not in ("avg", ""):
            raise ValueError(f"global_pool must be 'avg' or '', got '{global_pool}'")
        shape = replace(shape, in_chans=in_chans)
        self.shape, self.routing = shape, routing or RoutingOptions()
        self.num_classes, self.global_pool = num_classes, global_pool
        self.execution: Execution = "auto"
        self.compile_kernels = False
        self.routing_state = RoutingState(open=self.routing.learns)
        self.generator: torch.Generator | None = None
        """The random stream of the gates in training; the global one if None."""
        self.mask_override: dict[tuple[int, int], Tensor] | None = None
        """Kept tokens `(B, L)` per (scale, stage) in place of the row decisions, at inference only.

        Learned gates decide all the same, and what they decide is thrown away: they belong to the network's cost.
        """
        self.patch_embed = OverlapPatchEmbed(7, 4, shape.in_chans, shape.embed_dims[0])
        rates: Any = calculate_drop_path_rates(drop_path_rate, list(shape.depths), stagewise=True)
        self.grid = RoutingGrid(shape, self.routing, rates)
        self.num_features = self.head_hidden_size = shape.embed_dims[-1]
        self.feature_info = [
            {"num_chs": width, "reduction": 4 * 2**i, "module": f"grid.norms.{i}"}
            for i, width in enumerate(shape.embed_dims)
        ]
        self.head_drop = nn.Dropout(drop_rate)
        self.head = nn.Linear(self.num_features, num_classes) if num_classes > 0 else nn.Identity()
        self._costs: dict[tuple[Grid, int], GridCosts] = {}
        self.apply(_init_weights)
        for gate in self.gates():
            gate.reset_parameters()

    def gates(self) -> list[RoutingGate]:
        """All learned gates."""
        return [module for module in self.modules() if isinstance(module, RoutingGate)]

    def gate_parameters(self) -> list[nn.Parameter]:
        """The gates' parameters: no weight decay, a learning rate of their own."""
        return [parameter for gate in self.gates() for parameter in gate.parameters()]

    def update_gate_averages(self) -> None:
        """Eq. 3 for every gate; call after each optimiser step."""
        if not self.routing_state.open:
            for gate in self.gates():
                gate.update_ema()

    def costs(self, image_size: Grid) -> GridCosts:
        """Closed-form MACs of every node, gates included, for images of (height, width) pixels."""
        key = (image_size, self.num_classes)
        if key not in self._costs:
            grids, rows, columns = self.shape.grids(image_size), self.grid.rows, self.grid.columns
            row_gates = [
                [rows.gate_macs(i, j, height * width) for j in range(self.grid.num_stages)]
                for i, (height, width) in enumerate(grids)
            ]
            column_gates = [
                [columns.gate_macs(i, j) for j in range(self.grid.num_stages + 1)] for i in range(len(grids) - 1)
            ]
            self._costs[key] = grid_costs(self.shape, image_size, max(self.num_classes, 0), row_gates, column_gates)
        return self._costs[key]

    def route(self, images: Tensor, outputs: tuple[int, ...]) -> tuple[list[Tensor], RoutingTrace]:
        """Maps F[i][M] `(B, L_i, C_i)` before their norm, and the decisions, for images `(B, 3, H, W)`.

        Raises ValueError for images too small for the spatial reduction of any scale.
        """
        size = (images.shape[-2], images.shape[-1])
        grids = self.shape.grids(size)
        for (height, width), reduction in zip(grids, self.shape.sr_ratios, strict=True):
            if min(height, width) < reduction:
                raise ValueError(f"images of {size[0]}x{size[1]} pixels are too small: each side needs at least 32")
        masks = None if self.training else self.mask_override
        context = RoutingContext(self.routing_state, self.generator, seeds=[], kept_counts=[], masks=masks)
        context.compiled = self.compile_kernels and not self.training
        if self.routing.variant in SELECTED_ROWS:
            context.kept_counts = matched_counts(self.costs(size), self.routing.budget_ratio)
            if self.routing.variant == "random" and not self.training:
                context.seeds = image_seeds(images)
        run_stage = self._stage_runner()
        if run_stage is not None:
            # The tokens that leave the stem are channels-last; its convolution is faster if the pixels enter so, too.
            images = images.contiguous(memory_format=torch.channels_last)
        stem = self.patch_embed(images).flatten(1, 2)
        return self.grid(stem, grids, context, run_stage=run_stage, outputs=outputs)

    def _stage_runner(self) -> StageRunner | None:
        """How stages compute their kept tokens; None computes and masks."""
        execution = self.execution
        if execution == "auto":
            execution = "masked" if self.training else "packed"
        if execution == "masked":
            return None
        if self.training:
            raise ValueError(f"{execution} execution is for inference only: call eval() first")
        return padded_stage if execution == "padded" else partial(packed_stage, compiled=self.compile_kernels)

    def forward_features(self, images: Tensor) -> Tensor:
        """The last scale's normalised map `(B, C, h, w)`, as timm's PVTv2 returns it."""
        return self._classify_features(images)[0]

    def _classify_features(self, images: Tensor) -> tuple[Tensor, RoutingTrace]:
        last = self.grid.num_scales - 1
        maps, trace = self.route(images, outputs=(last,))
        return self._output(maps, trace, last), trace

    def _output(self, maps: list[Tensor], trace: RoutingTrace, scale: int) -> Tensor:
        normed = self.grid.norms[scale](maps[scale])
        return normed.transpose(1, 2).unflatten(2, trace.grids[scale])

    def pyramid(self, images: Tensor) -> tuple[list[Tensor], RoutingTrace]:
        """The normalised maps `(B, C_i, h_i, w_i)` of all scales, and the decisions, for images `(B, 3, H, W)`."""
        scales = tuple(range(self.grid.num_scales))
        maps, trace = self.route(images, outputs=scales)
        return [self._output(maps, trace, scale) for scale in scales], trace

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool and classify `(B, C, h, w)`."""
        if self.global_pool:
            features = features.mean(dim=(-1, -2))
        features = self.head_drop(features)
        return features if pre_logits else self.head(features)

    def forward(self, images: Tensor, with_trace: bool = False) -> Any:
        """Logits `(B, num_classes)` of images `(B, 3, H, W)`; with `with_trace` also the `RoutingTrace`."""
        features, trace = self._classify_features(images)
        logits = self.forward_head(features)
        return (logits, trace) if with_trace else logits

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """The pyramid, as timm's feature extraction asks for it: a list of `(B, C_i, h_i, w_i)`.

        `norm` and `stop_early` change nothing: the maps are always normalised and no scale ends before the others.
        """
        if output_fmt != "NCHW":
            raise ValueError(f"output_fmt must be 'NCHW', got '{output_fmt}'")
        take, _ = feature_take_indices(self.grid.num_scales, indices)
        maps, trace = self.route(x, outputs=tuple(sorted({*take, self.grid.num_scales - 1})))
        features = [self._output(maps, trace, scale) for scale in take]
        return features if intermediates_only else (self._output(maps, trace, self.grid.num_scales - 1), features)

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop the head when only features are wanted; every node of the grid may still be needed."""
        take, _ = feature_take_indices(self.grid.num_scales, indices)
        if prune_head:
            self.reset_classifier(0, "")
        return take

    def get_classifier(self) -> nn.Module:
        """The head."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the head; 0 classes leave the pooled features."""
        self.num_classes = num_classes
        if global_pool is not None:
            self.global_pool = global_pool
        self.head = nn.Linear(self.num_features, num_classes) if num_classes > 0 else nn.Identity()

    def no_weight_decay(self) -> set[str]:
        """Names that must not be decayed: the gates and the entry scales."""
        return {name for name, _ in self.named_parameters() if ".gates." in name or name.endswith("entry_scale")}


def _init_weights(module: nn.Module) -> None:
    """PVTv2's initialisation: truncated normal 0.02 for linear layers, fan-out normal for convolutions."""
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
