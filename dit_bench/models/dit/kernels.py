"""Functions that torch's compiler makes into one kernel, once, for any number of tokens; eager where it cannot."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Kernel:
    """A function of tensors, compiled at its first call with dynamic shapes.

    Where there is no compiler, `__call__` returns None from then on, and says so once: callers have a slower form.
    """

    def __init__(self, function: Callable[..., Tensor]):
        self._function = function
        self._compiled: Any = None
        self._failed = False

    def __call__(self, *arguments: Tensor | float) -> Tensor | None:
        """The function's value, or None where it cannot be compiled."""
        if self._failed:
            return None
        if self._compiled is None:
            self._compiled = torch.compile(self._function, dynamic=True)
        try:
            # The compiler makes a kernel of its own for every shape of an nn.Parameter.
            plain = [each.detach() if isinstance(each, nn.Parameter) else each for each in arguments]
            with torch.no_grad():
                return self._compiled(*plain)
        except Exception as error:  # whatever the compiler's tool chain raises
            self._failed = True
            reason = str(error).strip().split("\n")[0]
            warnings.warn(f"packed execution runs without its compiled kernels: {reason}", stacklevel=2)
            return None
