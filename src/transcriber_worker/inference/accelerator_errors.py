"""What CTranslate2's, torch's and CUDA's messages mean for the worker. They all arrive as `RuntimeError`."""

from transcriber_worker.domain.errors import RetryJob, WorkerBroken


class AcceleratorOutOfMemory(RetryJob):
    """An allocation failed, and everything else goes on: less at a time may fit."""


OUT_OF_MEMORY = (
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "CUFFT_ALLOC_FAILED",
    "DefaultCPUAllocator",
    "unable to find an engine to execute this computation",
    "when calling `cublasCreate",
)
"""The allocation failed and everything else goes on. The last three are torch's: on the CPU; of a convolution, where
each way to compute it was tried, and none got its workspace; of cuBLAS, whose first memory was not to be had."""

STICKY = (
    "illegal memory access",
    "misaligned address",
    "unspecified launch failure",
    "device-side assert",
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_INTERNAL_ERROR",
    "CUBLAS_STATUS_MAPPING_ERROR",
    "CUBLAS_STATUS_NOT_INITIALIZED",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "CUFFT_EXEC_FAILED",
    "unknown error",
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

_DO_NOT_FIT = (
    "no kernel image is available",
    "invalid device function",
    "unsupported toolchain",
    "kernel image is invalid",
    "driver version is insufficient",
    "CUBLAS_STATUS_",
)
"""The kernels, or a cuBLAS that torch did not expect, do not fit this GPU or its driver. They fail, and nothing else
does: torch has its own, and so has CTranslate2. Errors of cuBLAS that last are among the sticky ones."""


def judged(error: Exception) -> Exception:
    """The domain error that `error` amounts to, or `error` itself where it is none of the accelerator's."""
    if not isinstance(error, RuntimeError):
        return error
    message = str(error)
    if any(text in message for text in OUT_OF_MEMORY):
        return AcceleratorOutOfMemory(f"the accelerator ran out of memory: {message}")
    if any(text in message for text in STICKY):
        return _broken(message)
    if _of_cuda(error) and not any(text in message for text in _DO_NOT_FIT):
        return _broken(message)
    return error


def _broken(message: str) -> WorkerBroken:
    return WorkerBroken(f"the accelerator can't be used by this process any more: {message}")


def _of_cuda(error: Exception) -> bool:
    """Whether a call of CUDA's returned it. Nearly all of these are sticky, and which ones there are changes with the
    version. By name: torch is not there for everybody; an older one and CTranslate2 have no class of their own."""
    named = any(kind.__name__ == "AcceleratorError" for kind in type(error).__mro__)
    return named or str(error).startswith(("CUDA failed with error", "CUDA error"))
