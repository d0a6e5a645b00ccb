"""The batching engine: windows of all files share the accelerator."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from transcriber_worker.domain.clock import Clock
from transcriber_worker.domain.errors import HandBack, WorkerBroken
from transcriber_worker.domain.job import SpeechOptions, Task
from transcriber_worker.inference.accelerator_errors import AcceleratorOutOfMemory
from transcriber_worker.inference.base import EngineInfo, Hearing, Listener
from transcriber_worker.inference.batched.caps import Cap
from transcriber_worker.inference.batched.dimensions import Dimensions
from transcriber_worker.inference.batched.dispatch import BatchDispatcher
from transcriber_worker.inference.batched.encoders import wants_torch
from transcriber_worker.inference.batched.gpu_plan import batch_bytes, plan_gpu
from transcriber_worker.inference.batched.hearing import FileHearing
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.model import WhisperBatchModel
from transcriber_worker.inference.batched.plan import plan
from transcriber_worker.inference.batched.prompts import PromptBook
from transcriber_worker.inference.batched.rows import FULL_FRAMES, BatchModel
from transcriber_worker.inference.loading import Runtime, explained, pick_device
from transcriber_worker.inference.model_catalogue import WEIGHTS
from transcriber_worker.inference.model_files import ModelFiles
from transcriber_worker.inference.options import check_languages, check_task
from transcriber_worker.observability import events
from transcriber_worker.observability.logging import emit
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import EncoderKind, EngineSettings, ModelSettings

_PAGES = Path("/proc/self/statm")


class LoadedModel(BatchModel, Protocol):
    """A `BatchModel` and what else the engine wants to know of it."""

    @property
    def languages(self) -> Sequence[str]: ...

    @property
    def compute_type(self) -> str: ...

    @property
    def encoder(self) -> str: ...

    @property
    def fixed_bytes(self) -> int: ...

    def encode_text(self, text: str) -> tuple[int, ...]: ...

    def count_text(self, tokens: Sequence[int]) -> int: ...

    def row_bytes(self, frames: int) -> int: ...

    def warm_up(self, rows: int) -> None: ...


@dataclass(frozen=True, slots=True)
class _Running:
    dispatcher: BatchDispatcher
    prompts: PromptBook
    languages: Sequence[str]
    translates: bool


class BatchedEngine:
    """Hears many files at once, their windows in common batches.

    `files` finds the model when the engine starts; `cores` are shared out over the model workers; `memory_bytes` is
    what the machine or container has, `gpu_bytes` what the GPU has, if that can be told. OpenBLAS must be held to one
    thread before numpy is imported (OPENBLAS_NUM_THREADS=1). `load`: how to load the model.
    """

    def __init__(
        self,
        model: ModelSettings,
        engine: EngineSettings,
        files: Callable[[], ModelFiles],
        *,
        cores: int,
        memory_bytes: int,
        gpu_bytes: int | None = None,
        clock: Clock,
        metrics: Metrics,
        load: Callable[[ModelFiles, Runtime, Meter], LoadedModel] = WhisperBatchModel.load,
    ) -> None:
        self._settings = engine
        self._model_settings = model
        self._files = files
        self._load = load
        self._memory_bytes = memory_bytes
        self._gpu_bytes = gpu_bytes
        self._clock = clock
        self._meter = Meter(metrics, clock)
        device, compute_type = pick_device(model.device, model.compute_type)
        self._plan = plan(engine, cuda=device == "cuda", cores=cores, gpu_bytes=gpu_bytes)
        self._runtime = Runtime(
            device=device,
            compute_type=compute_type,
            beam_size=model.beam_size,
            workers=self._plan.workers,
            cpu_threads=model.cpu_threads or max(1, cores // self._plan.workers),
            encoder=engine.encoder,
        )
        self._lock = threading.Lock()
        self._hearings: set[FileHearing] = set()
        self._running: _Running | None = None

    def start(self) -> EngineInfo:
        """Verify, load and try out the model with the largest batch; raises `WorkerBroken` with what to install or
        set."""
        files = self._files()
        if self._runtime.device == "cuda":
            self._runtime = self._on_gpu(files)
        model = self._load(files, self._runtime, self._meter)
        cap = Cap(self._plan.batch, row_bytes=model.row_bytes, budget_bytes=self._batch_bytes(model))
        self._warm_up(model, cap)
        self._tell(model, cap)
        dispatcher = BatchDispatcher(
            model,
            workers=self._runtime.workers,
            cap=cap,
            max_batch_s=self._settings.max_batch_s,
            flush_s=self._settings.flush_s,
            clock=self._clock,
            meter=self._meter,
            share=self._runtime.device == "cpu",
        )
        dispatcher.start()
        prompts = PromptBook(model.encode_text, model.count_text)
        self._running = _Running(dispatcher, prompts, model.languages, files.translates)
        return EngineInfo(
            engine="batched",
            model=files.name,
            model_sha256=files.sha256,
            device=self._runtime.device,
            compute_type=model.compute_type,
            beam_size=self._runtime.beam_size,
            encoder=model.encoder,
            workers=self._runtime.workers,
            max_batch_windows=cap.rows(FULL_FRAMES),
            manner=f"{self._settings.window_s:g}s-{self._settings.window_padding}",
        )

    def open(self, listener: Listener) -> Hearing:
        """Begin a file; raises `RejectJob` for a language the model does not know, a translation it was not trained
        for, and prompts or hotwords that don't fit."""
        running = self._running
        if running is None:
            raise RuntimeError("the engine was not started")
        options = listener.options
        check_languages(options, running.languages)
        check_task(options, self._model_settings.name, translates=running.translates)
        if len(running.languages) == 1:  # an English-only model does not tell languages apart
            options = replace(options, language=running.languages[0])
            listener = replace(listener, options=options)
        prompt = running.prompts.fitted(options.prompt, options.hotwords, _written_language(options))
        hearing = FileHearing(
            running.dispatcher.open(listener),
            listener,
            prompt=prompt,
            padding=self._settings.window_padding,
            meter=self._meter,
            left=self._forget,
        )
        with self._lock:
            self._hearings.add(hearing)
        return hearing

    def close(self) -> None:
        """Stop; what is not answered yet fails with `HandBack`."""
        if self._running is not None:
            self._running.dispatcher.close()
        with self._lock:
            left = list(self._hearings)
        for hearing in left:  # what waits for its language is not in the dispatcher's queue
            hearing.fail(HandBack("the engine is stopping"))

    def _on_gpu(self, files: ModelFiles) -> Runtime:
        """How to run a model on a GPU, now that its size is known."""
        with explained(files, self._runtime):
            sizes = Dimensions.read(files.path / WEIGHTS)
        found = plan_gpu(
            self._settings,
            sizes,
            compute_type=self._model_settings.compute_type,
            beams=self._model_settings.beam_size,
            torch=wants_torch(self._settings.encoder, "cuda"),
            rows=self._plan.batch,
            gpu_bytes=self._gpu_bytes,
        )
        encoder = self._settings.encoder if found.torch_limit_bytes is not None else EncoderKind.CTRANSLATE2
        return replace(
            self._runtime,
            compute_type=found.compute_type,
            workers=found.streams,
            encoder=encoder,
            torch_bytes=found.torch_limit_bytes,
        )

    def _tell(self, model: LoadedModel, cap: Cap) -> None:
        emit(
            events.ENGINE_PLANNED,
            encoder=model.encoder,
            compute_type=model.compute_type,
            batches_at_once=self._runtime.workers,
            max_batch_windows=cap.rows(FULL_FRAMES),
            gpu_bytes=self._gpu_bytes if self._runtime.device == "cuda" else None,
            weights_bytes=model.fixed_bytes,
            window_bytes=model.row_bytes(FULL_FRAMES),
        )

    def _warm_up(self, model: LoadedModel, cap: Cap) -> None:
        """With the largest batch, for the memory it takes: what does not fit is found out before there is a job. On a
        GPU with one window first, since each stream makes its libraries' handles then: where a large batch leaves no
        memory for these, CTranslate2 does not call it a lack of memory."""
        rows = cap.rows(FULL_FRAMES) if self._runtime.device == "cpu" else 1
        while True:
            try:
                self._try_out(model, rows)
            except AcceleratorOutOfMemory as error:
                if rows == 1:
                    raise WorkerBroken(
                        f"not even one window fits beside the model: {error}. Choose a smaller model or "
                        "model.compute_type, or free memory"
                    ) from error
                self._meter.out_of_memory()
                cap.out_of_memory(rows, self._clock.monotonic())
            else:
                if rows == cap.rows(FULL_FRAMES):
                    return
            rows = cap.rows(FULL_FRAMES)

    def _try_out(self, model: LoadedModel, rows: int) -> None:
        """On a GPU on all workers at once, as batches will be decoded: each has a stream and libraries of its own."""
        at_once = 1 if self._runtime.device == "cpu" else self._runtime.workers
        with ThreadPoolExecutor(at_once, thread_name_prefix="warm-up") as pool:
            full = [text for text in pool.map(partial(_too_large, model), [rows] * at_once) if text]
        if full:
            raise AcceleratorOutOfMemory(full[0])

    def _forget(self, hearing: FileHearing) -> None:
        with self._lock:
            self._hearings.discard(hearing)

    def _batch_bytes(self, model: LoadedModel) -> int | None:
        """Memory that one batch may take beside the weights; None: as much as there is, since running out of it on a
        GPU does no harm but a batch decoded again."""
        workers, budget = self._runtime.workers, self._settings.batch_memory_bytes
        if budget != "auto":
            return budget // workers
        if self._runtime.device == "cpu":
            return max(0, self._memory_bytes - _own_bytes()) // 2 // workers
        if self._gpu_bytes is None or self._settings.max_batch_windows != "auto":
            return None
        return batch_bytes(self._gpu_bytes, model.fixed_bytes, workers)


def _too_large(model: LoadedModel, rows: int) -> str | None:
    """Why a batch does not fit, in words: an error holds on to what the batch had allocated."""
    try:
        model.warm_up(rows)
    except AcceleratorOutOfMemory as error:
        return str(error)
    return None


def _written_language(options: SpeechOptions) -> str | None:
    """The language of the text that comes out, as far as it is known before."""
    return "en" if options.task is Task.TRANSLATE else options.known_language


def _own_bytes() -> int:
    """Memory this process has in use."""
    return int(_PAGES.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
