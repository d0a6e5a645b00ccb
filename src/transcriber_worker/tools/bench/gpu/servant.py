"""What a process does that decodes batches of windows from memory: warm up, and measure."""

import itertools
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Protocol

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ
from transcriber_worker.inference.accelerator_errors import AcceleratorOutOfMemory
from transcriber_worker.inference.batched.rows import BatchModel, Row
from transcriber_worker.observability.labels import EnginePhase
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.tools.bench.gpu.cells import Repeat

_LEAST_TOKENS_PER_S = 1.0
"""Speech has three: a GPU build that does not fit its driver stays silent, and is fast at it."""
_PHASES = "transcriber_engine_phase_seconds_total"


class CellModel(BatchModel, Protocol):
    """A model that cells are measured with."""

    def release(self) -> None:
        """Hold back no memory of earlier batches from the next one."""
        ...


@dataclass(frozen=True, slots=True)
class _Batch:
    """One that was decoded."""

    took_s: float
    audio_s: float
    tokens: int


class CellServant:
    """Decodes the same windows again and again: one batch after the other on each of several threads.

    It is asked for a cell twice. `warm_up`: the first batches of a size load libraries and kernels and take memory, for
    minutes where kernels are compiled; the answer says how long a batch then takes on each stream. `repeats`: to be
    measured, of `count` batches on each stream.
    """

    def __init__(self, model: CellModel, rows: Sequence[Row], metrics: Metrics, facts: Mapping[str, str]) -> None:
        self._model = model
        self._rows = rows
        self._metrics = metrics
        self.facts = facts

    def answer(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        batch, streams = asked["batch"], asked["streams"]
        try:
            if asked.get("warm_up"):
                return {"wall_s": self._warm_up(batch, streams).wall_s}
            repeats = [self._repeat(batch, streams, asked["count"]) for _ in range(asked["repeats"])]
        except AcceleratorOutOfMemory as error:
            message = str(error)  # which holds on to nothing that was allocated, as the error does
        else:
            return {"repeats": [asdict(repeat) for repeat in repeats]}
        return {"out_of_memory": message}

    def close(self) -> None:
        """The process ends with it."""

    def _warm_up(self, batch: int, streams: int) -> Repeat:
        self._model.release()  # what the cell before has used is none of this one's
        self._repeat(1, streams, 1)  # a large batch may leave no memory for what each stream makes once
        self._repeat(batch, streams, 1)
        warm = self._repeat(batch, streams, 1)
        if warm.tokens < _LEAST_TOKENS_PER_S * warm.audio_s:
            raise RuntimeError(
                f"{warm.tokens} tokens in {warm.audio_s:.0f} s of speech: the driver does not fit "
                "(TranscriberFewWords in docs/operations.md)"
            )
        return warm

    def _repeat(self, batch: int, streams: int, count: int) -> Repeat:
        """Each stream decodes `count` batches, none waits for another."""
        before, ready = self._phases(), threading.Barrier(streams + 1)

        def stream(rows: Iterator[Row]) -> list[_Batch]:
            ready.wait()
            return [self._decode(list(itertools.islice(rows, batch))) for _ in range(count)]

        with ThreadPoolExecutor(streams, thread_name_prefix="stream") as pool:
            futures = [pool.submit(stream, turn) for turn in self._turns(batch, streams)]
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

    def _turns(self, batch: int, streams: int) -> list[Iterator[Row]]:
        """Every stream takes other windows, and each repeat the same ones again."""
        return [itertools.islice(itertools.cycle(self._rows), number * batch, None) for number in range(streams)]

    def _decode(self, rows: list[Row]) -> _Batch:
        begun = time.perf_counter()
        decoded = self._model.decode(rows)
        took_s = time.perf_counter() - begun
        audio_s = sum(len(row.pcm) for row in rows) / SAMPLE_RATE_HZ
        return _Batch(took_s, audio_s, sum(row.tokens for row in decoded))

    def _phases(self) -> dict[str, float]:
        read = self._metrics.registry.get_sample_value
        return {phase.value: read(_PHASES, {"phase": phase.value}) or 0.0 for phase in EnginePhase}
