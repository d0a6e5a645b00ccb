"""What `auto` comes to on a machine."""

import pytest

from transcriber_worker.inference.batched.plan import LEAST_AHEAD, EnginePlan, plan
from transcriber_worker.settings import EngineKind, EngineSettings


def planned(*, cuda: bool = False, cores: int = 2, **engine: object) -> EnginePlan:
    return plan(EngineSettings.model_validate(engine), cuda=cuda, cores=cores)


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 2), (4, 4), (64, 4)])
def test_on_the_cpu_each_core_is_a_worker_up_to_a_few(cores: int, workers: int) -> None:
    assert planned(cores=cores).workers == workers


def test_on_cuda_one_batch_decodes_while_the_next_is_encoded() -> None:
    on_gpu = planned(cuda=True, cores=16)
    assert on_gpu.workers == 2
    assert on_gpu.batch > planned(cores=16).batch


@pytest.mark.parametrize(("gpu_gb", "batch"), [(None, 16), (24, 16), (80, 64)])
def test_a_large_gpu_is_given_larger_batches(gpu_gb: int | None, batch: int) -> None:
    gpu_bytes = None if gpu_gb is None else gpu_gb * 10**9
    assert plan(EngineSettings(), cuda=True, cores=16, gpu_bytes=gpu_bytes).batch == batch


def test_streams_are_of_the_gpu_and_workers_of_the_cpu() -> None:
    assert planned(cuda=True, cuda_streams=3, workers=1).workers == 3
    assert planned(cuda=False, cuda_streams=3, workers=1).workers == 1


def test_what_is_set_is_taken() -> None:
    chosen = planned(cuda=True, cuda_streams=3, max_batch_windows=32, window_s=26.0)
    assert (chosen.workers, chosen.batch, chosen.speech_s) == (3, 32, 26.0)


def test_short_files_in_flight_fill_three_batches() -> None:
    assert planned(max_batch_windows=8).jobs == 24
    assert planned(max_batch_windows=1, workers=2).jobs == 4


@pytest.mark.parametrize("batch", [1, 2, 4, 16, 128])
def test_one_long_file_fills_a_batch_while_the_next_one_gathers(batch: int) -> None:
    chosen = planned(max_batch_windows=batch)
    assert chosen.windows_ahead >= max(LEAST_AHEAD, batch)


def test_long_pauses_make_no_window_longer_in_speech() -> None:
    assert planned().span_s > planned().speech_s == 29.5


def test_the_sequential_engine_works_on_whole_slabs_of_a_few_files() -> None:
    sequential = planned(kind=EngineKind.SEQUENTIAL, concurrency=3, slab_s=120.0, workers=9)
    assert (sequential.workers, sequential.batch, sequential.jobs) == (3, 1, 5)
    assert sequential.speech_s == sequential.span_s == 120.0
