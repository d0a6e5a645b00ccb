"""What the messages of CTranslate2, torch and CUDA lead to."""

import pytest

from transcriber_worker.domain.errors import RetryJob, WorkerBroken
from transcriber_worker.inference.accelerator_errors import judged


@pytest.mark.parametrize(
    "message",
    [
        "CUDA failed with error out of memory",
        "cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED",
        "CUDA out of memory. Tried to allocate 1.37 GiB. GPU 0 has a total capacity of 22.06 GiB",
        "CUDA error: out of memory",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "cuFFT error: CUFFT_ALLOC_FAILED",
        "GET was unable to find an engine to execute this computation",
        "FIND was unable to find an engine to execute this computation",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes",
    ],
)
def test_out_of_memory_is_tried_again(message: str) -> None:
    assert isinstance(judged(RuntimeError(message)), RetryJob)


@pytest.mark.parametrize(
    "message",
    [
        "CUDA failed with error an illegal memory access was encountered",
        "CUDA failed with error misaligned address",
        "CUDA failed with error unspecified launch failure",
        "CUDA failed with error device-side assert triggered",
        "cuBLAS failed with status CUBLAS_STATUS_EXECUTION_FAILED",
        "cuBLAS failed with status CUBLAS_STATUS_INTERNAL_ERROR",
        "cuBLAS failed with status CUBLAS_STATUS_NOT_INITIALIZED",
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: an illegal instruction was encountered",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "cuFFT error: CUFFT_EXEC_FAILED",
        "CUDA failed with error the launch timed out and was terminated",
        "CUDA failed with error hardware stack error",
        "CUDA failed with error invalid program counter",
        "CUDA failed with error operation not supported on global/shared address space",
        "CUDA failed with error unknown error",
        "CUDA failed with error uncorrectable NVLink error detected during the execution",
        "CUDA failed with error an error of the next version",
        "CUDA error: an error of the next version",
        "parallel_for failed: cudaErrorUnknown: unknown error",
        "cuBLAS failed with status CUBLAS_STATUS_MAPPING_ERROR",
    ],
)
def test_a_dead_cuda_context_breaks_the_worker(message: str) -> None:
    assert isinstance(judged(RuntimeError(message)), WorkerBroken)


class AcceleratorError(RuntimeError):
    """As torch has one, for what a call of CUDA's returned."""


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("CUDA error: unknown error", WorkerBroken),
        ("CUDA error: an error of the next version", WorkerBroken),
        ("CUDA error: out of memory", RetryJob),
        ("CUDA error: no kernel image is available for execution on the device", AcceleratorError),
        ("CUDA error: the provided PTX was compiled with an unsupported toolchain.", AcceleratorError),
        ("CUDA error: device kernel image is invalid", AcceleratorError),
        ("CUDA error: CUDA driver version is insufficient for CUDA runtime version", AcceleratorError),
    ],
)
def test_an_error_of_cudas_own_breaks_the_worker_unless_it_is_known_to_pass(
    message: str, expected: type[Exception]
) -> None:
    """Where a kernel did not even begin, nothing is broken; torch and CTranslate2 have kernels of their own."""
    assert isinstance(judged(AcceleratorError(message)), expected)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("something else"),
        ValueError("out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasGemmEx`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemmStridedBatchedEx`"),
    ],
)
def test_anything_else_stays_what_it_is(error: Exception) -> None:
    assert judged(error) is error
