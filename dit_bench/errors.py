"""The errors a user can cause, each with the exit code that the command line ends with.

Every message is one line that names the file, the key and the value at fault; the remedy says what to do about it.
Anything that is not a `BenchError` is a defect of dit-bench itself and ends with exit code 5.
"""

import errno


class BenchError(Exception):
    """Base of all expected failures: a message, an optional remedy and the exit code of the process."""

    exit_code = 5

    def __init__(self, message: str, *, remedy: str | None = None):
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} — {self.remedy}" if self.remedy else self.message


class RegressionError(BenchError):
    """A figure drifted past its tolerance."""

    exit_code = 1


class UsageError(BenchError):
    """A wrong argument, recipe, row, key or value."""

    exit_code = 2


class DataError(BenchError):
    """A data set, image or folder is missing or unreadable."""

    exit_code = 3


class WeightsError(DataError):
    """A checkpoint is missing, unreadable or of another architecture."""


class NonFiniteLossError(BenchError):
    """Training produced a loss that is not a number; stopped before the optimiser step."""

    exit_code = 5


class MemoryExhaustedError(BenchError):
    """The machine has not as much memory as the work asks for; nothing is made smaller behind the user's back."""

    exit_code = 5


class InterruptedRunError(BenchError):
    """The user stopped the work; what was done is kept and the same command picks it up."""

    exit_code = 4


class MissingExtraError(UsageError):
    """An optional package is not installed; `extra` is the name under which dit-bench asks for it."""

    def __init__(self, message: str, *, extra: str):
        super().__init__(message, remedy=f"pip install 'dit-bench[{extra}]'")
        self.extra = extra


_CPU_MEMORY = ("can't allocate memory", "could not create a primitive", "could not create a memory object")
"""What torch's allocator and oneDNN say when the system gives no more."""


def exhausted_memory(error: BaseException) -> MemoryExhaustedError | None:
    """What to say if `error` means that memory ran out, on a GPU or beside it; None if it means something else."""
    # By name and words, for torch may not be imported here and has no class of its own for most of these.
    if isinstance(error, RuntimeError) and "DataLoader worker" in str(error):
        return MemoryExhaustedError(
            "a process that reads images was ended from outside; what is finished is kept",
            remedy="mostly memory ran out: use fewer --workers, or 0; in a container, give it a larger /dev/shm",
        )
    on_device = type(error).__name__ == "OutOfMemoryError" or "MPS backend out of memory" in str(error)
    on_cpu = (
        isinstance(error, MemoryError)
        or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        or (isinstance(error, RuntimeError) and any(words in str(error) for words in _CPU_MEMORY))
    )
    if not on_device and not on_cpu:
        return None
    return MemoryExhaustedError(
        f"out of memory{' on the device' if on_device else ''}; what is finished is kept",
        remedy="set a smaller optimiser.batch_size or --eval-batch-size, or use another --device;"
        " nothing is made smaller by itself",
    )
