"""What the batching engine makes of its settings, of the model it loads, and of memory that runs out at the start."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tests.speech import a_listener
from tests.unit.inference.batched.model_bins import a_model
from tests.unit.inference.batched.scripted import ScriptedModel, marked
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import Reason, RejectJob, WorkerBroken
from transcriber_worker.domain.job import SpeechOptions, Task
from transcriber_worker.inference.accelerator_errors import AcceleratorOutOfMemory
from transcriber_worker.inference.batched import engine as module
from transcriber_worker.inference.batched.engine import BatchedEngine, LoadedModel
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.rows import FULL_FRAMES, Decoded, Row
from transcriber_worker.inference.loading import Runtime
from transcriber_worker.inference.model_files import ModelFiles
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import MIB, EngineSettings, ModelSettings

TIMEOUT_S = 20.0


class Recorded(ScriptedModel):
    """Remembers what it was warmed up with and what rows it got; too many rows don't fit."""

    def __init__(self, fits: int = 1000, row_bytes: int = 1) -> None:
        super().__init__()
        self._fits = fits
        self._row_bytes = row_bytes
        self.warmed_up_with: list[int] = []
        self.rows: list[Row] = []

    def warm_up(self, rows: int) -> None:
        self.warmed_up_with.append(rows)
        if rows > self._fits:
            raise AcceleratorOutOfMemory("CUDA failed with error out of memory")

    def row_bytes(self, frames: int) -> int:
        return self._row_bytes

    def decode(self, rows: Sequence[Row]) -> list[Decoded]:
        self.rows += rows
        return super().decode(rows)


class EnglishOnly(Recorded):
    languages = ("en",)


class Loading:
    """Notes how the model was to be run."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self.runtime: Runtime

    def __call__(self, files: ModelFiles, runtime: Runtime, meter: Meter) -> LoadedModel:
        self.runtime = runtime
        return self._model


def an_engine(
    load: Loading,
    *,
    cores: int = 2,
    memory_bytes: int = 1 << 40,
    translates: bool = True,
    device: str = "cpu",
    compute_type: str = "int8",
    gpu_bytes: int | None = None,
    folder: Path = Path("nowhere"),
    **settings: Any,
) -> BatchedEngine:
    files = ModelFiles("scripted", folder, "0" * 64, translates=translates)
    return BatchedEngine(
        ModelSettings.model_validate({"device": device, "compute_type": compute_type}),
        EngineSettings.model_validate(settings),
        lambda: files,
        cores=cores,
        memory_bytes=memory_bytes,
        gpu_bytes=gpu_bytes,
        clock=SystemClock(),
        metrics=Metrics(CollectorRegistry()),
        load=load,
    )


def warmed_up_with(model: Recorded, **how: Any) -> list[int]:
    engine = an_engine(Loading(model), **how)
    engine.start()
    engine.close()
    return model.warmed_up_with


@pytest.mark.parametrize(
    ("cores", "workers", "expected"),
    [(2, "auto", (2, 1)), (8, "auto", (4, 2)), (8, 1, (1, 8)), (1, 2, (2, 1))],
)
def test_the_cores_are_shared_out_over_the_workers(cores: int, workers: int | str, expected: tuple[int, int]) -> None:
    loading = Loading(Recorded())
    engine = an_engine(loading, cores=cores, workers=workers)
    engine.start()
    engine.close()
    assert (loading.runtime.workers, loading.runtime.cpu_threads) == expected


def test_what_a_transcript_depends_on_is_part_of_its_identity() -> None:
    identities = set()
    for settings in ({}, {"window_s": 20.0}, {"window_padding": "adaptive"}):
        engine = an_engine(Loading(Recorded()), **settings)
        identities.add(engine.start().identity)
        engine.close()
    assert len(identities) == 3


def test_it_is_warmed_up_with_the_largest_batch() -> None:
    assert warmed_up_with(Recorded(), max_batch_windows=6) == [6]


def test_a_batch_is_bounded_by_the_memory_it_may_take() -> None:
    """Of 800 MiB for all workers, each of the two has 400."""
    assert warmed_up_with(Recorded(row_bytes=100 * MIB), max_batch_windows=64, batch_memory_bytes=800 * MIB) == [4]


def test_by_default_batches_may_take_half_of_what_is_free() -> None:
    """What this process uses is not free: less than 300 of 600 GiB, but hardly."""
    rows = warmed_up_with(
        Recorded(row_bytes=1024 * MIB), workers=1, max_batch_windows=512, memory_bytes=600 * 1024 * MIB
    )
    assert 295 <= rows[0] < 300


def test_memory_that_runs_out_at_the_start_makes_batches_smaller() -> None:
    assert warmed_up_with(Recorded(fits=3), max_batch_windows=16) == [16, 8, 4, 2]


class AllAtOnce(Recorded):
    """A warm-up ends when as many as there are workers have begun."""

    def __init__(self, workers: int) -> None:
        super().__init__()
        self._begun = threading.Barrier(workers)

    def warm_up(self, rows: int) -> None:
        self._begun.wait(TIMEOUT_S)
        super().warm_up(rows)


@pytest.fixture
def gpu(tmp_path: Path) -> dict[str, Any]:
    """How to run a model on a GPU whose memory nobody can tell; CTranslate2 encodes."""
    a_model(tmp_path / "model.bin")
    return {"device": "cuda", "compute_type": "auto", "folder": tmp_path, "encoder": "ctranslate2"}


def test_on_a_gpu_all_workers_are_warmed_up_at_once(gpu: dict[str, Any]) -> None:
    """Each has memory of its own, so what fits one of them need not fit all; and handles of its own, which one window
    makes before there is a batch that may leave no room for them."""
    assert warmed_up_with(AllAtOnce(3), **gpu, cuda_streams=3, max_batch_windows=6) == [1, 1, 1, 6, 6, 6]


def test_a_gpu_on_which_nothing_runs_breaks_the_worker(gpu: dict[str, Any]) -> None:
    class Broken(Recorded):
        def warm_up(self, rows: int) -> None:
            raise WorkerBroken("libcublas.so.12 is not found")

    with pytest.raises(WorkerBroken, match="is not found"):
        warmed_up_with(Broken(), **gpu)


def test_memory_that_runs_out_on_one_of_several_streams_makes_batches_smaller(gpu: dict[str, Any]) -> None:
    rows = warmed_up_with(Recorded(fits=5), **gpu, cuda_streams=2, max_batch_windows=16)
    assert sorted(rows) == [1, 1, 4, 4, 8, 8, 16, 16]


def test_a_gpu_is_warmed_up_with_one_window_once(gpu: dict[str, Any]) -> None:
    assert warmed_up_with(Recorded(), **gpu, cuda_streams=1, max_batch_windows=1) == [1]


def test_batches_are_as_large_as_the_gpu_has_room_for(gpu: dict[str, Any]) -> None:
    """Of 16 GB some is lost, some is the libraries': two streams have less than 7 GB each."""
    rows = warmed_up_with(Recorded(row_bytes=10**9), **gpu, gpu_bytes=16 * 10**9)
    assert rows == [1, 1, 6, 6]


def test_a_size_of_batches_that_is_set_is_tried_whatever_the_memory(gpu: dict[str, Any]) -> None:
    rows = warmed_up_with(Recorded(row_bytes=10**9), **gpu, gpu_bytes=16 * 10**9, max_batch_windows=12)
    assert rows == [1, 1, 12, 12]


def test_what_was_planned_is_logged(gpu: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="transcriber_worker")
    warmed_up_with(Recorded(row_bytes=10**9), **gpu, gpu_bytes=16 * 10**9)
    (line,) = [record.getMessage() for record in caplog.records if "engine.planned" in record.getMessage()]
    assert all(part in line for part in ("'max_batch_windows': 6", "'batches_at_once': 2", "'gpu_bytes': 16000000000"))


def test_a_gpu_computes_in_what_fits(gpu: dict[str, Any]) -> None:
    loading = Loading(Recorded())
    engine = an_engine(loading, **gpu, gpu_bytes=24 * 10**9)
    engine.start()
    engine.close()
    assert (loading.runtime.compute_type, loading.runtime.workers) == ("float16", 2)


@pytest.mark.parametrize(("gpu_bytes", "encoder"), [(24 * 10**9, "auto"), (10**6, "ctranslate2")])
def test_torch_encodes_where_there_is_room_for_it(
    gpu: dict[str, Any], monkeypatch: pytest.MonkeyPatch, gpu_bytes: int, encoder: str
) -> None:
    monkeypatch.setattr(module, "wants_torch", lambda kind, device: True)
    loading = Loading(Recorded())
    engine = an_engine(loading, **{**gpu, "encoder": "auto"}, gpu_bytes=gpu_bytes)
    engine.start()
    engine.close()
    assert loading.runtime.encoder == encoder
    assert (loading.runtime.torch_bytes is None) == (encoder == "ctranslate2")


def test_it_tells_what_became_of_its_settings(gpu: dict[str, Any]) -> None:
    """Not what was planned before the model was loaded and tried out."""
    engine = an_engine(Loading(Recorded(fits=3)), **gpu, cuda_streams=2, max_batch_windows=16)
    info = engine.start()
    engine.close()
    assert (info.workers, info.max_batch_windows, info.encoder) == (2, 2, Recorded.encoder)


def test_a_model_that_leaves_no_room_for_one_window_is_told_of() -> None:
    with pytest.raises(WorkerBroken, match=r"not even one window fits.*smaller model"):
        warmed_up_with(Recorded(fits=0), max_batch_windows=2)


def test_an_english_only_model_is_not_asked_for_the_language() -> None:
    model = EnglishOnly()
    engine = an_engine(Loading(model))
    engine.start()
    with engine.open(a_listener()) as hearing:
        heard = hearing.submit(marked(0)).result(TIMEOUT_S)
    engine.close()
    assert (heard.language, heard.language_probability) == ("en", 1.0)
    assert [row.language for row in model.rows] == ["en"]


def test_a_model_that_cannot_translate_says_so() -> None:
    engine = an_engine(Loading(Recorded()), translates=False)
    engine.start()
    with pytest.raises(RejectJob, match="not trained to translate"):
        engine.open(a_listener(options=SpeechOptions(task=Task.TRANSLATE)))
    engine.close()


def test_a_prompt_that_does_not_fit_is_refused_by_name() -> None:
    engine = an_engine(Loading(Recorded()))
    engine.start()
    with pytest.raises(RejectJob, match="prompt: 300 tokens") as caught:
        engine.open(a_listener(options=SpeechOptions(prompt="noon " * 300)))
    engine.close()
    assert caught.value.reason is Reason.PROMPT_TOO_LONG


@pytest.mark.parametrize(("padding", "expected"), [("full", FULL_FRAMES), ("adaptive", 800)])
def test_windows_are_padded_as_set(padding: str, expected: int) -> None:
    model = Recorded()
    engine = an_engine(Loading(model), window_padding=padding)
    engine.start()
    with engine.open(a_listener(options=SpeechOptions(language="en"))) as hearing:
        hearing.submit(marked(0, seconds=4.9)).result(TIMEOUT_S)
    engine.close()
    assert model.rows[0].frames == expected


def test_what_was_not_started_can_be_closed() -> None:
    engine = an_engine(Loading(Recorded()))
    engine.close()
    with pytest.raises(RuntimeError, match="not started"):
        engine.open(a_listener())
