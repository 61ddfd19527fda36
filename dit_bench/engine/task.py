"""What the training loop knows of a task: a network, batches, their loss and their routes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from dit_bench.cost.formulas import Grid
from dit_bench.models.dit.trace import RoutingTrace


@dataclass(frozen=True)
class Route:
    """Where the images of a batch went on the routing grid."""

    trace: RoutingTrace
    image_size: Grid
    """Height and width in pixels that the trace belongs to, padding included."""


@dataclass(frozen=True)
class StepLoss:
    """The task's part of the loss of one batch."""

    loss: Tensor
    terms: dict[str, Tensor]
    """What the loss is made of, for the log, where it has several terms."""
    route: Route | None
    """None for a network that routes nothing."""
    num_images: int


class TrainingTask(Protocol):
    """One row's network with the data and the loss that it is trained on."""

    @property
    def model(self) -> nn.Module:
        """The network that is trained."""
        ...

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        ...

    @property
    def updates(self) -> int:
        """Batches of the whole training; the last epoch may be cut short."""
        ...

    @property
    def sums_over_batch(self) -> bool:
        """Whether an image's loss depends on what else is in its batch, beside a budget of MACs."""
        ...

    def batches(self, epoch: int, start_step: int) -> Iterator[Any]:
        """Our shares of the batches of an epoch, from one of them on: the same whatever ran before."""
        ...

    def take(self, batch: Any, rows: list[int]) -> Any:
        """Some images of a batch, as a batch of their own."""
        ...

    def loss(self, batch: Any, epoch: int, step: int) -> StepLoss:
        """The loss of a batch in training mode; of a share of a batch, its part of the batch's loss."""
        ...

    def route(self, batch: Any) -> Route:
        """The route that a batch takes at inference; only for networks that route."""
        ...
