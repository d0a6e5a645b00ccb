"""A model on a GPU, decoding batches of windows that wait in memory: `python -m
transcriber_worker.app.bench_cells_child ORDER`. Answers as bench_child.py does."""

import itertools
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from prometheus_client import CollectorRegistry

from transcriber_worker.app.bench_child import settings_of, take_over_stdout
from transcriber_worker.app.worker import make_media
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.job import MediaOptions, Task
from transcriber_worker.inference.accelerator_errors import AcceleratorOutOfMemory
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.model import WhisperBatchModel
from transcriber_worker.inference.batched.passages import Passage
from transcriber_worker.inference.batched.rows import FULL_FRAMES, BatchModel, Ranking, Row
from transcriber_worker.inference.loading import Runtime, pick_device
from transcriber_worker.inference.model_files import resolve
from transcriber_worker.inference.speech import stretches
from transcriber_worker.media.base import MediaRequest
from transcriber_worker.observability.labels import EnginePhase
from transcriber_worker.observability.logging import configure
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import EncoderKind, ObservabilitySettings, Settings
from transcriber_worker.tools.bench.child import serve
from transcriber_worker.tools.bench.gpu.cells import Repeat
from transcriber_worker.tools.limits import Machine

_LEAST_TOKENS_PER_S = 1.0
"""Speech has three: a GPU build that does not fit its driver stays silent, and is fast at it."""
_MOST_BATCHES = 50
"""On a stream, in one repeat."""
_PHASES = "transcriber_engine_phase_seconds_total"
_LANGUAGE = "en"
"""Given to all: in a file it is looked for in the first window only."""


def main(order: str) -> None:
    """`order`: JSON with `config` and `model` as for bench_child.py, `encoder`, `beam_size`, `streams` (the most that
    will be asked for) and `paths` (recordings to take windows from)."""
    told = json.loads(order)
    send = take_over_stdout()
    configure(ObservabilitySettings(log_format="json", log_level="warning"), worker_id="bench")
    serve(lambda: CellServant.loaded(told, settings_of(told)), sys.stdin, send)


def rows_from(settings: Settings, machine: Machine, paths: Sequence[Path]) -> list[Row]:
    """The windows of recordings, as the engine gets them, and rows of a batch made of them as it does first."""
    media = make_media(settings, machine, SystemClock())
    try:
        rows = []
        for path in paths:
            with media.open(MediaRequest(path, MediaOptions(), CancelToken())) as stream:
                for window in stream.windows():
                    speech = stretches(window)
                    if speech:
                        rows.append(_row(Passage(window, speech)))
        return rows
    finally:
        media.close()


def _row(passage: Passage) -> Row:
    return passage.row(
        frames=FULL_FRAMES, task=Task.TRANSCRIBE, prompt=(), language=_LANGUAGE, choose_language=_most_probable
    )


def _most_probable(ranking: Ranking) -> str:
    return ranking[0][0]


@dataclass(frozen=True, slots=True)
class _Batch:
    """One that was decoded."""

    took_s: float
    audio_s: float
    tokens: int


class CellServant:
    """Decodes the same windows again and again: one batch after the other on each of several threads."""

    def __init__(self, model: BatchModel, rows: Sequence[Row], metrics: Metrics, facts: Mapping[str, str]) -> None:
        self._model = model
        self._rows = rows
        self._metrics = metrics
        self.facts = facts

    @classmethod
    def loaded(cls, told: Mapping[str, Any], settings: Settings) -> "CellServant":
        machine, metrics = Machine.this(), Metrics(CollectorRegistry())
        rows = rows_from(settings, machine, [Path(path) for path in told["paths"]])
        device, compute_type = pick_device(settings.model.device, settings.model.compute_type)
        runtime = Runtime(
            device=device,
            compute_type=compute_type,
            beam_size=told["beam_size"],
            workers=told["streams"],
            cpu_threads=settings.model.cpu_threads or max(1, machine.cores // told["streams"]),
            encoder=EncoderKind(told["encoder"]),
        )
        files = resolve(settings.model, lambda _: None)
        model = WhisperBatchModel.load(files, runtime, Meter(metrics, SystemClock()))
        facts = {"device": device, "compute_type": model.compute_type, "encoder": model.encoder}
        return cls(model, rows, metrics, facts)

    def answer(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            repeats = self._measure(asked["batch"], asked["streams"], asked["repeats"], asked["repeat_s"])
        except AcceleratorOutOfMemory as error:
            message = str(error)  # which holds on to nothing that was allocated, as the error does
        else:
            return {"repeats": [asdict(repeat) for repeat in repeats]}
        return {"out_of_memory": message}

    def close(self) -> None:
        """The process ends with it."""

    def _measure(self, batch: int, streams: int, repeats: int, repeat_s: float) -> list[Repeat]:
        self._repeat(batch, self._turns(batch, streams), 1)  # libraries, kernels, memory
        warm = self._repeat(batch, self._turns(batch, streams), 1)
        if warm.tokens < _LEAST_TOKENS_PER_S * warm.audio_s:
            raise RuntimeError(
                f"{warm.tokens} tokens in {warm.audio_s:.0f} s of speech: the driver does not fit (docs/operations.md)"
            )
        count = min(_MOST_BATCHES, max(1, int(repeat_s / warm.wall_s)))
        return [self._repeat(batch, self._turns(batch, streams), count) for _ in range(repeats)]

    def _turns(self, batch: int, streams: int) -> list[Iterator[Row]]:
        """Every stream takes other windows, and each repeat the same ones again."""
        return [itertools.islice(itertools.cycle(self._rows), number * batch, None) for number in range(streams)]

    def _repeat(self, batch: int, turns: Sequence[Iterator[Row]], count: int) -> Repeat:
        """Each stream decodes `count` batches, none waits for another."""
        before, ready = self._phases(), threading.Barrier(len(turns) + 1)

        def stream(rows: Iterator[Row]) -> list[_Batch]:
            ready.wait()
            return [self._decode(list(itertools.islice(rows, batch))) for _ in range(count)]

        with ThreadPoolExecutor(len(turns), thread_name_prefix="stream") as pool:
            futures = [pool.submit(stream, turn) for turn in turns]
            ready.wait()
            begun = time.perf_counter()
            batches = [one for future in futures for one in future.result()]
            wall_s = time.perf_counter() - begun
        return Repeat(
            wall_s=wall_s,
            windows=batch * len(batches),
            audio_s=sum(one.audio_s for one in batches),
            tokens=sum(one.tokens for one in batches),
            batch_s=median(one.took_s for one in batches),
            phases_s={phase: after - before[phase] for phase, after in self._phases().items()},
        )

    def _decode(self, rows: list[Row]) -> _Batch:
        begun = time.perf_counter()
        decoded = self._model.decode(rows)
        took_s = time.perf_counter() - begun
        audio_s = sum(len(row.pcm) for row in rows) / SAMPLE_RATE_HZ
        return _Batch(took_s, audio_s, sum(row.tokens for row in decoded))

    def _phases(self) -> dict[str, float]:
        read = self._metrics.registry.get_sample_value
        return {phase.value: read(_PHASES, {"phase": phase.value}) or 0.0 for phase in EnginePhase}


if __name__ == "__main__":
    main(sys.argv[1])
