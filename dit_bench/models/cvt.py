"""CvT-13 and CvT-21 of DiT Table 1, registered with timm: the network is that of the package `transformers`.

That package is an optional extra and is imported only when a CvT is built. Parameters keep the names that it gives
them, so that checkpoints in its format load strictly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from timm.layers import DropPath, calculate_drop_path_rates, trunc_normal_
from timm.models import generate_default_cfgs, register_model
from timm.models._builder import build_model_with_cfg
from torch import Tensor, nn

from dit_bench.cost.attention import attention_formula, register_attention
from dit_bench.cost.formulas import attention_macs
from dit_bench.errors import MissingExtraError
from dit_bench.models.registration import imagenet_cfg, refuse_pretrained

CVT_DEPTHS: dict[str, tuple[int, int, int]] = {"13": (1, 2, 10), "21": (1, 4, 16)}
"""Blocks per stage (Wu et al., 2021, Table 2)."""


class ConvolutionalVisionTransformer(nn.Module):
    """CvT: three stages of strides 4, 8 and 16; a class token joins the last and is what the head reads.

    `drop_path_rate` is that of the last block; as in the published recipe it rises from 0 over the last stage alone.
    """

    def __init__(
        self,
        depths: Sequence[int],
        *,
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
    ):
        super().__init__()
        library = _transformers()
        config = library.CvtConfig(
            depth=list(depths), num_channels=in_chans, num_labels=num_classes, drop_path_rate=[0.0] * len(depths)
        )
        network = library.CvtForImageClassification(config)
        self.cvt = network.cvt
        self.layernorm = network.layernorm
        self.head_drop = nn.Dropout(drop_rate)
        self.classifier: nn.Module = network.classifier
        self.num_classes = num_classes
        self.num_features = self.head_hidden_size = config.embed_dim[-1]
        self._add_drop_path(drop_path_rate)

    def _add_drop_path(self, rate: float) -> None:
        """Stochastic depth at the end of each branch of the last stage's blocks, before the residual sum.

        Where the library itself has it, behind the sum, a dropped image would lose the residual path too, and all
        blocks of a stage get one rate; so the library is built without. Its dropout in that place has rate 0.
        """
        blocks = self.cvt.encoder.stages[-1].layers
        rates: Any = calculate_drop_path_rates(rate, len(blocks))
        for block, block_rate in zip(blocks, rates, strict=True):
            for branch in (block.attention.output, block.output):
                assert branch.dropout.p == 0
                branch.dropout = DropPath(block_rate)

    def forward_features(self, images: Tensor) -> Tensor:
        """The normalised class token `(B, 384)` of images `(B, 3, H, W)`."""
        return self.layernorm(self.cvt(images, return_dict=True).cls_token_value).squeeze(1)

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits `(B, num_classes)` from `(B, 384)`."""
        features = self.head_drop(features)
        return features if pre_logits else self.classifier(features)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `(B, num_classes)` of images `(B, 3, H, W)`."""
        return self.forward_head(self.forward_features(images))

    def get_classifier(self) -> nn.Module:
        """The head."""
        return self.classifier

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the head; 0 classes leave the class token. `global_pool` changes nothing: there is no pooling."""
        self.num_classes = num_classes
        self.classifier = nn.Linear(self.num_features, num_classes) if num_classes > 0 else nn.Identity()
        if isinstance(self.classifier, nn.Linear):
            trunc_normal_(self.classifier.weight, std=0.02)
            nn.init.zeros_(self.classifier.bias)

    def no_weight_decay(self) -> set[str]:
        """Names that must not be decayed: the class token."""
        return {name for name, _ in self.named_parameters() if name.endswith("cls_token")}


def cvt_attention_macs(module: Any, inputs: tuple[Any, ...], output: Tensor) -> int:
    """MACs of both attention products in one call of transformers' CvtSelfAttention with `inputs` = (tokens, h, w).

    2 · queries · keys · C: queries are the tokens that come out; keys fill the grid that the strided depthwise
    convolution leaves, floor((side + 2 · padding - kernel) / stride) + 1, and the class token is one more.
    """
    convolution = module.convolution_projection_key.convolution_projection.convolution
    height, width = (
        (side + 2 * padding - kernel) // stride + 1
        for side, padding, kernel, stride in zip(
            inputs[1:3], convolution.padding, convolution.kernel_size, convolution.stride, strict=True
        )
    )
    keys = height * width + int(module.with_cls_token)
    batch, queries, channels = output.shape
    return batch * attention_macs(queries, keys, channels)


def _transformers() -> Any:
    """The package, with the closed form of its attention registered; raises MissingExtraError if it is missing."""
    try:
        import transformers
        from transformers.models.cvt.modeling_cvt import CvtSelfAttention
    except ImportError as error:
        raise MissingExtraError("CvT needs the package transformers, which is not installed", extra="cvt") from error
    if attention_formula(CvtSelfAttention) is None:
        register_attention(CvtSelfAttention, cvt_attention_macs)
    return transformers


default_cfgs = generate_default_cfgs(
    {
        f"cvt_{size}": imagenet_cfg("cvt.encoder.stages.0.embedding.convolution_embeddings.projection", "classifier")
        for size in CVT_DEPTHS
    }
)


def _create(size: str, pretrained: bool, kwargs: dict[str, Any]) -> ConvolutionalVisionTransformer:
    refuse_pretrained(f"cvt_{size}", pretrained)
    if kwargs.pop("features_only", False):
        raise RuntimeError(f"cvt_{size}: feature maps are not offered, only the classifier")
    return build_model_with_cfg(ConvolutionalVisionTransformer, f"cvt_{size}", False, depths=CVT_DEPTHS[size], **kwargs)


@register_model
def cvt_13(pretrained: bool = False, **kwargs: Any) -> ConvolutionalVisionTransformer:
    """CvT-13: 20.0 M parameters."""
    return _create("13", pretrained, kwargs)


@register_model
def cvt_21(pretrained: bool = False, **kwargs: Any) -> ConvolutionalVisionTransformer:
    """CvT-21: 31.6 M parameters."""
    return _create("21", pretrained, kwargs)
