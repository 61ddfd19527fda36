"""Named ways to make input of an ImageNet picture for evaluation: the papers' one, and that of a model in timm."""

from __future__ import annotations

from typing import Literal, get_args

import timm
from timm.models import PretrainedCfg

from dit_bench.data.transforms import PAPERS_PREPROCESSING, Preprocessing
from dit_bench.engine.build import check_model_name
from dit_bench.errors import UsageError
from dit_bench.recipes.plugin_names import OWN_DATASETS
from dit_bench.recipes.settings import RunSettings

ProtocolName = Literal["deit", "timm"]
PROTOCOLS: tuple[str, ...] = get_args(ProtocolName)
DEIT_CROP_FRACTION = 0.875
"""224 out of a short side of 256: DeiT's evaluation, which the PVT and DiT papers took over."""


def under_protocol(settings: RunSettings, protocol: ProtocolName) -> RunSettings:
    """The settings with the crop fraction of a protocol: `deit` 0.875, `timm` that of the model's default in timm.

    The short side is resized to the input size over that fraction, and the centre is cropped.

    Raises:
        UsageError: the data are no image folder, the model is unknown, or timm has no default for it.
    """
    if settings.data.dataset != "imagenet" and settings.data.dataset in OWN_DATASETS:
        raise UsageError(
            f"--protocol {protocol}: data.dataset is {settings.data.dataset}, whose images are never cropped",
            remedy="leave --protocol out, or evaluate an image folder: data.dataset=imagenet data.root=ROOT",
        )
    fraction = DEIT_CROP_FRACTION if protocol == "deit" else float(_timm_default(settings.model.name).crop_pct)
    data = settings.data.model_copy(update={"eval_crop_fraction": fraction})
    return settings.model_copy(update={"data": data})


def preprocessing_of(settings: RunSettings, protocol: ProtocolName | None) -> Preprocessing:
    """Interpolation, mean and standard deviation of a protocol; those of the papers without one.

    Weights from timm expect those of their model: a ViT's mean is 0.5. Raises as `under_protocol` does.
    """
    if protocol != "timm":
        return PAPERS_PREPROCESSING
    default = _timm_default(settings.model.name)
    return Preprocessing(default.interpolation, tuple(default.mean), tuple(default.std))


def _timm_default(model_name: str) -> PretrainedCfg:
    check_model_name(model_name)
    default = timm.get_pretrained_cfg(model_name)
    if default is None:
        raise UsageError(
            f"--protocol timm: {model_name} has no default configuration in timm",
            remedy="use --protocol deit or data.eval_crop_fraction",
        )
    return default
