"""Keep freed memory in the process: networks ask for the same large buffers in every layer.

glibc gives buffers above some 32 MB back to the system when they are freed and gets them back as empty pages, which
must be filled in again one by one. On a CPU this took a quarter of PVTv2-B1's time at 224x224 and batch 8, and it
flattered whatever works with smaller buffers: without it, comparisons are about computing.
"""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_BYTES = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc to keep what is freed, up to 2 GB a buffer; whether it agreed (other C libraries are left alone)."""
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return all(library.mallopt(option, _LARGEST_BYTES) == 1 for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD))
