"""The heads that judge tokens at the end of a stage, one by one: FCN's and DToP's attention to mask.

Both run on the tokens of a batch in one matrix `(T, D)`, whatever tokens are left of each image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional

from dit_bench.models import shares
from dit_bench.models.dtop.atm import AtmDecoder, TokenProjection, initialise_linear_layers
from dit_bench.models.dtop.layout import RaggedLayout

HeadKind = Literal["atm", "fcn"]
HEAD_KINDS: tuple[HeadKind, ...] = get_args(HeadKind)


@dataclass(frozen=True)
class HeadOutput:
    """What a head says of T tokens of B images."""

    logits: Tensor
    """`(T, K)` in float32: class logits of FCN, mask logits of attention to mask."""
    presence: Tensor | None = None
    """`(B, K, 2)`: attention to mask's logits for each class being in the image, and not being there."""


class TokenHead(nn.Module, ABC):
    """A head for K classes."""

    kind: HeadKind

    @abstractmethod
    def forward(self, tokens: Tensor, layout: RaggedLayout) -> HeadOutput:
        """The verdict on tokens `(T, D)`."""


class FcnHead(TokenHead):
    """FCN's naive head as DToP's printed costs have it: D → D / 2, BatchNorm, ReLU, → K, on every token by itself.

    With 768 → 384 → K and two counted upsamplings it gives, counted as fvcore does, the printed 107.7, 92.4 and 107.7
    GMACs (Table 7, SETR); mmsegmentation's head with its upsampling inside does not.
    """

    kind = "fcn"

    def __init__(self, in_width: int, num_classes: int, width: int):
        super().__init__()
        self.reduce = nn.Linear(in_width, width, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.classify = nn.Linear(width, num_classes)
        nn.init.kaiming_normal_(self.reduce.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.classify.weight, std=0.01)
        nn.init.zeros_(self.classify.bias)

    def forward(self, tokens: Tensor, layout: RaggedLayout) -> HeadOutput:
        """See `TokenHead`; in training the batch's statistics are those of the tokens given."""
        hidden = self.reduce(tokens)
        # One token has no variance; none has no mean either. But other shares of the batch may have tokens.
        normalised = len(tokens) > 1 or not self.training or shares.current() is not None
        hidden = self.norm(hidden) if normalised else self._with_running_statistics(hidden)
        return HeadOutput(self.classify(functional.relu(hidden)).float())

    def _with_running_statistics(self, hidden: Tensor) -> Tensor:
        norm = self.norm
        return functional.batch_norm(
            hidden, norm.running_mean, norm.running_var, norm.weight, norm.bias, training=False, eps=norm.eps
        )


class AtmHead(TokenHead):
    """DToP's attention to mask: a decoder with class tokens of its own, and two classes per class token, §3.3.

    A class is present in the image or not; SegViT's K + 1 ways and its cascade of decoders are in `segvit.py`.
    """

    kind = "atm"

    def __init__(self, in_width: int, num_classes: int, width: int, num_heads: int, num_layers: int):
        super().__init__()
        self.in_width = in_width
        self.classes = nn.Embedding(num_classes, width)
        self.project = TokenProjection(in_width, width)
        self.decoder = AtmDecoder(width, num_heads, num_layers)
        self.presence = nn.Linear(width, 2)
        initialise_linear_layers(self)

    def forward(self, tokens: Tensor, layout: RaggedLayout) -> HeadOutput:
        """See `TokenHead`."""
        classes = self.classes.weight.repeat(layout.num_images, 1, 1)
        classes, masks = self.decoder(classes, self.project(tokens), layout)
        return HeadOutput(masks.float(), self.presence(classes).float())


def present_probability(presence: Tensor) -> Tensor:
    """`(B, K)`: the probability that each class is in the image, from `HeadOutput.presence`."""
    return presence.softmax(dim=-1)[..., 0]


def token_scores(output: HeadOutput, layout: RaggedLayout) -> Tensor:
    """Scores `(T, K)`, P_m of Eq. 2: softmax of FCN; presence · sigmoid(mask) of attention to mask, of any sum."""
    if output.presence is None:
        return output.logits.softmax(dim=1)
    present = present_probability(output.presence)
    return present.index_select(0, layout.images) * output.logits.sigmoid()
