"""The gradients of a batch that several processes share, or that one process computes portion by portion.

The result is that of the whole batch at once: see `dit_bench.models.shares`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dit_bench.data.order import share_rows
from dit_bench.engine import distributed
from dit_bench.engine.build import routed_part
from dit_bench.engine.sharing import check_sharing, mixes, own_rows
from dit_bench.engine.task import TrainingTask
from dit_bench.errors import UsageError
from dit_bench.models import shares
from dit_bench.models.whole_batch import WholeBatchLayers
from dit_bench.recipes.settings import RunSettings, RuntimeSettings


@dataclass(frozen=True)
class Objective:
    """What is minimised on a batch; of a share of a batch, its part of everything, so that shares add up."""

    loss: Tensor
    values: dict[str, Tensor]
    """For the log; `loss` is among them."""
    num_images: int


Compute = Callable[[Any], Objective]
Check = Callable[[float], None]


@dataclass
class _Sums:
    """Sums over a batch that are found portion by portion: first noted, then given out in the same order."""

    noted: list[Tensor] = field(default_factory=list)
    place: int = 0
    complete: bool = False

    def add_up(self, value: Tensor) -> Tensor:
        """The sum over the batch once it is known; the portion's own until then."""
        if self.complete:
            known = self.noted[self.place].to(value)
        else:
            known = value
            own = value.detach().to("cpu", torch.float64)
            if self.place < len(self.noted):
                self.noted[self.place] = self.noted[self.place] + own
            else:
                self.noted.append(own)
        self.place += 1
        return known

    def complete_over_processes(self) -> None:
        """Add what other processes have noted."""
        if distributed.size() > 1 and self.noted:
            together = distributed.add_up(torch.cat([value.flatten() for value in self.noted]))
            parts = together.split([value.numel() for value in self.noted])
            self.noted = [part.view(value.shape) for part, value in zip(parts, self.noted, strict=True)]
        self.complete = True


class Portions:
    """Computes the gradients of batches, in as many portions as asked for, with as many processes as there are."""

    def __init__(self, task: TrainingTask, settings: RunSettings, runtime: RuntimeSettings, device: torch.device):
        self.task, self.device = task, device
        self.batch_size, self.count = settings.optimiser.batch_size, runtime.accumulation_steps
        self.alone = self.count == 1 and distributed.size() == 1
        if self.alone:
            return
        check_sharing(settings, runtime)
        rows = own_rows(settings)
        self.rows = np.arange(self.batch_size) if rows is None else rows
        self.portions = [
            share_rows(len(self.rows), number, self.count, mirrored=mixes(settings)) for number in range(self.count)
        ]
        self.layers = WholeBatchLayers(task.model, device)

    def backward(
        self, batch: Any, compute: Compute, scale: Callable[[Tensor], Tensor], check: Check, *, needs_sums: bool
    ) -> Objective:
        """Leave the gradients of a batch in the parameters, which have none yet; returns what was found.

        `compute` is the objective of a batch or of a share of it, `scale` is applied to what is differentiated, and
        `check` is given the loss of the batch before gradients are exchanged. Where the objective `needs_sums` over the
        batch, portions are computed twice: for the sums, and for the gradients.
        """
        if self.alone:
            found = compute(batch)
            check(float(found.values["loss"]))
            scale(found.loss).backward()
            return found
        with self.layers.in_place():
            if self.count == 1:
                with self._share(0, distributed.add_up):
                    found = compute(batch)
                    scale(found.loss).backward()
            else:
                found = self._portion_by_portion(batch, compute, scale, needs_sums)
        found = _over_processes(found)
        check(float(found.values["loss"]))
        distributed.add_up_gradients(self.task.model.parameters())
        if self.task.sums_over_batch and distributed.size() > 1:
            # What a network draws may depend on the images that it sees.
            self._restore(distributed.from_main(self._streams()))
        return found

    def _portion_by_portion(
        self, batch: Any, compute: Compute, scale: Callable[[Tensor], Tensor], needs_sums: bool
    ) -> Objective:
        if norms := self.layers.batch_norms:
            raise UsageError(
                f"--accumulation-steps {self.count}: the network has {len(norms)} batch norms, which need all images "
                "of a batch at once",
                remedy="leave it out, or use more processes",
            )
        streams, sums = self._streams(), _Sums()

        def each() -> Iterator[Objective]:
            for number, rows in enumerate(self.portions):
                # Every portion draws for the whole batch, and takes what is its own.
                self._restore(streams)
                sums.place = 0
                with self._share(number, sums.add_up):
                    yield compute(self.task.take(batch, rows.tolist()))

        if needs_sums:
            with torch.no_grad():
                for _ in each():
                    pass
            sums.complete_over_processes()
        found = []
        for own in each():
            scale(own.loss).backward()
            found.append(Objective(own.loss.detach(), own.values, own.num_images))
        values = {name: torch.stack([own.values[name] for own in found]).sum() for name in found[0].values}
        return Objective(values["loss"], values, sum(own.num_images for own in found))

    @contextmanager
    def _share(self, number: int, add_up: Callable[[Tensor], Tensor]) -> Iterator[None]:
        rows = torch.from_numpy(self.rows[self.portions[number]])
        with shares.computing(shares.Share(rows, self.batch_size, add_up)):
            yield

    def _streams(self) -> dict[str, Tensor]:
        """Where the random streams of the training stand."""
        streams = {"torch": torch.get_rng_state()}
        if self.device.type == "cuda":
            streams["cuda"] = torch.cuda.get_rng_state(self.device)
        routed = routed_part(self.task.model)
        if routed is not None and routed.generator is not None:
            streams["gates"] = routed.generator.get_state()
        return streams

    def _restore(self, streams: dict[str, Tensor]) -> None:
        torch.set_rng_state(streams["torch"])
        if "cuda" in streams:
            torch.cuda.set_rng_state(streams["cuda"], self.device)
        routed = routed_part(self.task.model)
        if routed is not None and routed.generator is not None:
            routed.generator.set_state(streams["gates"])


def _over_processes(found: Objective) -> Objective:
    """What all processes found together."""
    if distributed.size() == 1:
        return found
    numbers = [float(value) for value in found.values.values()]
    together = distributed.add_up(torch.tensor([*numbers, found.num_images], dtype=torch.float64))
    values = dict(zip(found.values, together[:-1], strict=True))
    return Objective(values["loss"], values, int(together[-1]))
