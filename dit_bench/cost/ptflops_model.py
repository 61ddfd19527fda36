"""What the `pytorch` backend of ptflops counts, predicted from a census.

It hooks layers by their exact class and, besides, patches some functions of `torch.nn.functional`: an activation or
pooling layer whose forward calls such a function counts twice. A hooked class hides its children: the projections
inside timm's Attention and `nn.MultiheadAttention` vanish. Neither fused attention nor `@` is patched, so that only
timm's Attention, hooked as a whole, shows its products.
"""

from __future__ import annotations

from collections import Counter

from timm.layers import Attention
from torch import nn

from dit_bench.cost.census import Census, LayerCost
from dit_bench.cost.conventions import Difference

_HIDING: tuple[type[nn.Module], ...] = (Attention, nn.MultiheadAttention)
_MATRIX: tuple[type[nn.Module], ...] = (
    nn.Linear,
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
_NORM_WEIGHTS: dict[type[nn.Module], int] = {
    nn.LayerNorm: 1,
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm), 2),
    **dict.fromkeys((nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), 2),
}
_ELEMENTWISE: tuple[type[nn.Module], ...] = (
    *(nn.ReLU, nn.PReLU, nn.ELU, nn.LeakyReLU, nn.ReLU6, nn.GELU, nn.Upsample),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
)
_PATCHED = {
    "call.activation": "activation functions",
    "call.softmax": "softmax functions",
    "call.pool": "pooling functions",
    "call.adaptive_avg_pool2d": "pooling functions",
    "call.upsample_nearest": "resizing functions",
    "call.upsample_bilinear": "resizing functions",
    "call.upsample_other": "resizing functions",
}


def ptflops_pytorch_differences(census: Census, model: nn.Module) -> list[Difference]:
    """Why the backend's figure for one image is not that of `matmul`, reason by reason.

    Not modelled: `torch.add`, `torch.mul` and matrix products called by name (`q.matmul(k)`), which it patches, and
    what its hook of `nn.MultiheadAttention` charges beside the products.
    """
    layers = {layer.path: layer for layer in census.layers}
    macs: Counter[str] = Counter()
    hidden_below: list[str] = []
    for path, layer in layers.items():
        if any(path.startswith(f"{above}.") for above in hidden_below):
            macs["projections inside timm's Attention not counted"] -= layer.macs
            continue
        if layer.cls in _HIDING:
            hidden_below.append(path)
        if layer.cls is Attention:
            projection = layers[f"{path}.proj"]
            module = model.get_submodule(path)
            assert isinstance(module, Attention)
            # Its hook charges, beside the products, heads · N² for the softmax and N · C for scaling the queries.
            scores = layer.macs // (2 * module.head_dim)
            scaled = projection.macs // module.proj.out_features
            macs["softmax and scaling of queries in timm's Attention"] += scores + scaled
        else:
            reason, amount = _layer_difference(layer)
            macs[reason] += amount
    for term, reason in _PATCHED.items():
        macs[f"{reason} at 1 per element"] += census.terms.get(term, 0)
    return [Difference(reason, amount) for reason, amount in macs.items() if amount]


def _layer_difference(layer: LayerCost) -> tuple[str, int]:
    """Reason and amount for a layer that no hooked class hides."""
    own = {term: count for term, count in layer.elements.items() if term.startswith("layer.")}
    if layer.cls in _MATRIX:
        return "biases at 1 per element", sum(own.values())
    if layer.cls in _NORM_WEIGHTS:
        weight = _NORM_WEIGHTS[layer.cls]
        counted = sum((1 if term.endswith(".plain") else weight) * count for term, count in own.items())
        return ("LayerNorm layers at 1 per element" if weight == 1 else "other norm layers at 2 per element"), counted
    if layer.cls in _ELEMENTWISE:
        return "activation, pooling and resizing layers at 1 per element", sum(own.values())
    return "matrix products of classes without a hook not counted", 0 if layer.cls in _HIDING else -layer.macs
