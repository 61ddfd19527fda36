"""The command under torchrun: several processes run it, and one of them speaks."""

from __future__ import annotations

import os

VERBS = ("train", "ablate", "eval")
"""Those that share their work among processes."""


def count() -> int:
    """Processes that torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def is_main() -> bool:
    """Whether this process prints results, shows progress and writes files."""
    return count() == 1 or int(os.environ["RANK"]) == 0


def is_first_to_fail() -> bool:
    """Whether no other process has said yet what went wrong."""
    if count() == 1:
        return True
    from dit_bench.engine.distributed import is_first_to_fail

    return is_first_to_fail()
