"""What is timed against what: a routed network on a batch of images, and the ways to do without packing or routing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import timm
import torch
from timm.models.pvt_v2 import Attention
from torch import Tensor, nn

from dit_bench.cost.counter import counted_macs
from dit_bench.cost.formulas import Grid
from dit_bench.cost.latency import Run
from dit_bench.cost.memory import resident_bytes
from dit_bench.engine.bench_masks import Masks, controlled_masks, everything, kept_shares
from dit_bench.engine.build import build_model, check_model_name
from dit_bench.engine.devices import autocast, synchronize
from dit_bench.errors import UsageError
from dit_bench.models.dit.gates import Gate
from dit_bench.models.dit.ledger import Ledger
from dit_bench.models.dit.model import DiT
from dit_bench.models.pvt import SIZES
from dit_bench.models.zoo import PYRAMID_NAMES, default_image_size, is_routed, model_names, size_of
from dit_bench.recipes.settings import ModelSettings, NumericsSettings, RoutingSettings, RunSettings
from dit_bench.recipes.suggest import did_you_mean

Against = Literal["pvt", "dense", "masked", "padded"]
BASELINES: dict[str, str] = {
    "pvt": "timm's PVTv2 of the same size, fused attention",
    "dense": "the same DiT with every token kept",
    "masked": "the same masks, everything computed and multiplied by them",
    "padded": "the same masks, kept tokens padded to the image that keeps most",
}
assert set(BASELINES) == set(get_args(Against))
Path = Literal["diagonal", "gated", "fully"]
"""PVTv2's nodes; the same with every gate of the whole grid deciding (against the other nodes); the whole grid."""
_VARIANTS: dict[Path, Literal["diagonal", "dynamic", "fully"]] = {
    "diagonal": "diagonal",
    "gated": "dynamic",
    "fully": "fully",
}
NUM_CLASSES = 1000
PLAIN = NumericsSettings()


@dataclass(frozen=True)
class Conditions:
    """What all networks of one comparison share."""

    device: torch.device
    compile: bool
    seed: int = 0
    numerics: NumericsSettings = PLAIN

    @property
    def precision(self) -> str:
        """Of the matrix products, in words."""
        return "fp32" if self.numerics.amp == "off" else f"{self.numerics.amp} autocast"


@dataclass(frozen=True)
class Subject:
    """A routed network on a batch of images."""

    name: str
    size: str
    """PVTv2 size, a key of `SIZES`."""
    model: DiT
    images: Tensor
    """`(B, 3, H, W)` on the device."""
    masks: Masks | None
    """Controlled masks; None where the network decides."""
    keep: float | None = None
    spread: float | None = None
    """As asked for, where masks are controlled."""

    @property
    def image_size(self) -> Grid:
        """Height and width in pixels."""
        return self.images.shape[-2], self.images.shape[-1]

    @property
    def batch(self) -> int:
        """B."""
        return len(self.images)

    def kept(self, ledger: Ledger) -> np.ndarray:
        """Share of tokens that each image kept `(B,)`."""
        return kept_shares(self.model, ledger, self.image_size)


@dataclass(frozen=True)
class Contender:
    """One network in one form, ready to be timed on the subject's batch."""

    kind: str
    """`dit`, or what it is compared against."""
    form: str
    """`eager` or `compiled`."""
    run: Run
    macs_per_image: float
    """Executed MACs, mean over the batch."""
    resident_bytes: int
    """Weights and images."""


def check_routed_model(name: str) -> None:
    """Raise UsageError, with the nearest right name, for what is no DiT."""
    check_model_name(name)
    size = size_of(name)
    if not is_routed(name):
        ours = [known for known in model_names() if is_routed(known)]
        remedy = did_you_mean(name, ours) if size is None else f"did you mean 'dit_{size}'?"
        raise UsageError(f"{name} routes nothing", remedy=remedy)


def controlled_model(name: str, path: Path, conditions: Conditions) -> DiT:
    """A DiT with random weights whose nodes are those of `path`.

    Raises UsageError for a name that is no DiT.
    """
    check_routed_model(name)
    settings = RunSettings(model=ModelSettings(name=name), routing=RoutingSettings(variant=_VARIANTS[path]))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(conditions.seed)
        model = build_model(settings, NUM_CLASSES)
    assert isinstance(model, DiT)
    if path == "gated":
        for gates in (model.grid.rows.gates, model.grid.columns.gates):
            for node, gate in gates.items():
                assert isinstance(gate, Gate)
                # Columns are numbered by the stage in front of which they stand, so that PVTv2's is one further on.
                scale, place = map(int, node.split("_"))
                gate.fix(keep=place == scale + (gates is model.grid.columns.gates))
    return model.eval().to(conditions.device)


def controlled_subject(
    name: str, model: DiT, path: Path, image_size: Grid, batch: int, keep: float, spread: float, conditions: Conditions
) -> Subject:
    """`model` on normal noise with controlled keep ratios; masks and images are made here, outside of any timing."""
    generator = torch.Generator().manual_seed(conditions.seed)
    images = torch.randn(batch, 3, *image_size, generator=generator)
    masks = controlled_masks(model, image_size, batch, keep=keep, spread=spread, seed=conditions.seed)
    if path == "gated":
        masks = {(scale, stage): mask for (scale, stage), mask in masks.items() if scale == stage}
    size = size_of(name)
    assert size is not None
    on_device = {node: mask.to(conditions.device) for node, mask in masks.items()}
    return Subject(name, size, model, images.to(conditions.device), on_device, keep, spread)


def controlled_subjects(
    name: str,
    path: Path,
    image_sizes: Sequence[Grid],
    batches: Sequence[int],
    keeps: Sequence[float],
    spread: float,
    conditions: Conditions,
) -> Iterator[tuple[Subject, Conditions]]:
    """One model in every combination of input size, batch and keep ratio, each made when it is asked for."""
    model = controlled_model(name, path, conditions)
    shown = name if path == "diagonal" else f"{name}, {path}"
    for image_size, batch, keep in itertools.product(image_sizes, batches, keeps):
        subject = controlled_subject(name, model, path, image_size, batch, keep, spread, conditions)
        yield replace(subject, name=shown), conditions


def image_size_of(name: str, asked: Grid | None) -> Grid:
    """The input that is timed: as asked, else the model's own. Raises UsageError for one that is too small."""
    size = asked or default_image_size(name)
    smallest_px = SIZES[PYRAMID_NAMES[name]].smallest_side_px
    if min(size) < smallest_px:
        raise UsageError(
            f"--image-size {size[0]}x{size[1]}: too small for {name}", remedy=f"use at least {smallest_px} a side"
        )
    return size


def routed_contenders(subject: Subject, macs_per_image: float, conditions: Conditions) -> list[Contender]:
    """The subject in packed execution: eager, and with compiled kernels where compiling is asked for."""
    found = []
    for compiled in (False, True) if conditions.compile else (False,):
        run = dit_run(subject, "packed", subject.masks, conditions, compiled=compiled)
        found.append(_contender("dit", subject, run, macs_per_image, subject.model, compiled=compiled))
    return found


def baseline_contenders(kind: Against, subject: Subject, conditions: Conditions) -> list[Contender]:
    """One baseline in all its forms, for the fastest to be compared with."""
    if kind == "pvt":
        return _pvt_contenders(subject, conditions)
    if kind == "dense":
        return _dense_contenders(subject, conditions)
    run = dit_run(subject, kind, subject.masks, conditions)
    # More is computed than the ledger's kept tokens, so the ideal compares with what is really dispatched.
    macs = counted_macs(run) / subject.batch
    return [_contender(kind, subject, run, macs, subject.model)]


def read_ledger(subject: Subject, masks: Masks | None, conditions: Conditions) -> Ledger:
    """What the subject's network executes per image with these masks, or with its own decisions if None."""
    _, trace = dit_run(subject, "packed", masks, conditions, with_trace=True)()
    return Ledger.read(trace, subject.model.costs(subject.image_size))


def dit_run(
    subject: Subject,
    execution: Literal["packed", "masked", "padded"],
    masks: Masks | None,
    conditions: Conditions,
    *,
    compiled: bool = False,
    with_trace: bool = False,
) -> Callable[[], Any]:
    """A forward pass of the subject's network in that form."""
    forward = partial(subject.model, subject.images, with_trace=with_trace)
    return _inference(forward, conditions, partial(_take_form, subject.model, execution, masks, compiled))


def _take_form(
    model: DiT, execution: Literal["packed", "masked", "padded"], masks: Masks | None, kernels: bool
) -> None:
    # One network serves all forms, so that its weights lie in memory once.
    model.execution, model.mask_override, model.compile_kernels = execution, masks, kernels


def _inference(
    forward: Callable[[], Any], conditions: Conditions, prepare: Callable[[], None] = lambda: None
) -> Callable[[], Any]:
    def run() -> Any:
        prepare()
        with torch.no_grad(), autocast(conditions.device, conditions.numerics):
            out = forward()
        if conditions.device.type == "mps":  # CUDA has events; the CPU has nothing to wait for
            synchronize(conditions.device)
        return out

    return run


def _dense_contenders(subject: Subject, conditions: Conditions) -> list[Contender]:
    # On a hand-set path, all of its tokens are kept where nothing masks them.
    by_hand = subject.masks is not None
    masks = None
    if not by_hand:
        ones = everything(subject.model, subject.image_size, subject.batch)
        masks = {node: mask.to(conditions.device) for node, mask in ones.items()}
    macs = float(read_ledger(subject, masks, conditions).macs.mean())
    run = dit_run(subject, "packed", masks, conditions)
    found = [_contender("dense", subject, run, macs, subject.model)]
    # Gates make the graph depend on the data.
    if by_hand and conditions.compile and not subject.model.gates():
        take_form = partial(_take_form, subject.model, "packed", None, False)
        compiled = _inference(partial(_compiled(subject.model), subject.images), conditions, take_form)
        found.append(_contender("dense", subject, compiled, macs, subject.model, compiled=True))
    return found


def _pvt_contenders(subject: Subject, conditions: Conditions) -> list[Contender]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(conditions.seed)
        model = timm.create_model(f"pvt_v2_{subject.size}", num_classes=subject.model.num_classes)
    model = model.eval().to(conditions.device)
    for module in model.modules():
        if isinstance(module, Attention):
            module.fused_attn = True
    images = subject.images.contiguous(memory_format=torch.channels_last)
    macs = subject.model.costs(subject.image_size).base
    found = []
    for compiled in (False, True) if conditions.compile else (False,):
        network = _compiled(model) if compiled else model
        run = _inference(partial(network, images), conditions)
        found.append(_contender("pvt", subject, run, macs, model, compiled=compiled))
    return found


def _compiled(model: nn.Module) -> Callable[..., Any]:
    return torch.compile(model, dynamic=False)


def _contender(
    kind: str, subject: Subject, run: Run, macs: float, model: nn.Module, *, compiled: bool = False
) -> Contender:
    images = subject.images.numel() * subject.images.element_size()
    return Contender(kind, "compiled" if compiled else "eager", run, macs, resident_bytes(model) + images)
