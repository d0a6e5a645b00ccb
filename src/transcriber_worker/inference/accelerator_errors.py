"""What CTranslate2's, torch's and CUDA's messages mean for the worker. They all arrive as `RuntimeError`."""

from transcriber_worker.domain.errors import RetryJob, WorkerBroken


class AcceleratorOutOfMemory(RetryJob):
    """An allocation failed, and everything else goes on: less at a time may fit."""


OUT_OF_MEMORY = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUFFT_ALLOC_FAILED",
    "unable to find an engine to execute this computation",
)
"""The allocation failed and everything else goes on. The last one is torch's, of a convolution: each way to compute it
was tried, and none got its workspace."""

STICKY = (
    "illegal memory access",
    "misaligned address",
    "unspecified launch failure",
    "device-side assert",
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_INTERNAL_ERROR",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "CUFFT_EXEC_FAILED",
    "illegal instruction",
    "invalid program counter",
    "hardware stack error",
    "not supported on global/shared address space",
    "launch timed out",
    "uncorrectable ECC error",
    "device is lost",
    "GPU is lost",
    "fallen off the bus",
)
"""The CUDA context is dead: every later call of this process fails too."""

_NEVER_BEGAN = ("no kernel image is available", "invalid device function")
"""torch was not built for this GPU; its kernels fail, and nothing else does."""


def judged(error: Exception) -> Exception:
    """The domain error that `error` amounts to, or `error` itself where it is none of the accelerator's."""
    if not isinstance(error, RuntimeError):
        return error
    message = str(error)
    if any(text in message for text in STICKY):
        return _broken(message)
    if any(text in message for text in OUT_OF_MEMORY):
        return AcceleratorOutOfMemory(f"the accelerator ran out of memory: {message}")
    if _of_cuda(error) and not any(text in message for text in _NEVER_BEGAN):
        return _broken(message)
    return error


def _broken(message: str) -> WorkerBroken:
    return WorkerBroken(f"the accelerator can't be used by this process any more: {message}")


def _of_cuda(error: Exception) -> bool:
    """Whether torch says that a call of CUDA's returned it. Nearly all of these are sticky, and which ones there are
    changes with the version. By name: torch is not there for everybody."""
    return any(kind.__name__ == "AcceleratorError" for kind in type(error).__mro__)
