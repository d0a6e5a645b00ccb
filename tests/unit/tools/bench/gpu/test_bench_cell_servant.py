"""The process that decodes batches from memory, without a model."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from tests.rows import a_decoded, a_row
from transcriber_worker.app.bench_cells_child import CellServant
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.inference.accelerator_errors import AcceleratorOutOfMemory
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.rows import Decoded, Row
from transcriber_worker.observability.labels import EnginePhase
from transcriber_worker.observability.metrics import Metrics

Trouble = Callable[[int], None]


class Model:
    """A `BatchModel` that remembers its batches. `trouble` is told how many rows a batch has."""

    def __init__(self, metrics: Metrics, trouble: Trouble = lambda rows: None, meeting: int = 1) -> None:
        self._meter = Meter(metrics, SystemClock())
        self._trouble = trouble
        self._meeting = threading.Barrier(meeting)
        self.text = "one two three"
        self.batches: list[tuple[int, ...]] = []

    def decode(self, rows: Sequence[Row]) -> list[Decoded]:
        self.batches.append(tuple(int(row.pcm[0]) for row in rows))
        self._meeting.wait(60)
        with self._meter.phase(EnginePhase.DECODE):
            self._trouble(len(rows))
        return [a_decoded(self.text) for _ in rows]


def numbered(number: int) -> Row:
    row = a_row()
    pcm = np.full(SAMPLE_RATE_HZ, number, np.int16)
    return Row(pcm, row.frames, row.recipe, row.task, row.prompt, row.language, row.choose_language)


def a_servant(trouble: Trouble = lambda rows: None, *, meeting: int = 1) -> tuple[CellServant, Model]:
    metrics = Metrics(CollectorRegistry())
    model = Model(metrics, trouble, meeting)
    return CellServant(model, [numbered(n) for n in range(5)], metrics, {}), model


def asked(batch: int, streams: int = 1) -> dict[str, Any]:
    return {"batch": batch, "streams": streams, "repeats": 2, "repeat_s": 1e-9}


def test_windows_audio_tokens_and_phases_are_counted() -> None:
    servant, model = a_servant()
    one, other = servant.answer(asked(batch=3))["repeats"]
    assert (one["windows"], one["audio_s"], one["tokens"]) == (3, 3.0, 9)
    assert 0 < one["phases_s"]["decode"] <= one["batch_s"] <= one["wall_s"]
    assert one["phases_s"]["encode"] == 0
    assert (other["windows"], other["tokens"]) == (3, 9)
    assert set(model.batches) == {(0, 1, 2)}


def test_more_windows_than_there_are_come_around_again() -> None:
    servant, model = a_servant()
    servant.answer(asked(batch=7))
    assert model.batches[0] == (0, 1, 2, 3, 4, 0, 1)


def test_streams_decode_at_the_same_time_and_other_windows() -> None:
    servant, model = a_servant(meeting=2)  # whose barrier nobody passes alone
    repeats = servant.answer(asked(batch=2, streams=2))["repeats"]
    assert set(model.batches) == {(0, 1), (2, 3)}
    assert repeats[0]["windows"] == 4


def test_a_batch_that_does_not_fit_is_told_and_the_next_one_is_decoded() -> None:
    def full(rows: int) -> None:
        if rows > 2:
            raise AcceleratorOutOfMemory("CUDA failed with error out of memory")

    servant, _ = a_servant(full)
    assert servant.answer(asked(batch=3)) == {"out_of_memory": "CUDA failed with error out of memory"}
    assert len(servant.answer(asked(batch=2))["repeats"]) == 2


def test_a_gpu_that_stays_silent_has_no_figure() -> None:
    servant, model = a_servant()
    model.text = "one"
    assert len(servant.answer(asked(batch=2))["repeats"]) == 2
    model.text = ""
    with pytest.raises(RuntimeError, match="0 tokens in 2 s of speech: the driver does not fit"):
        servant.answer(asked(batch=2))


def test_anything_else_that_goes_wrong_is_no_figure() -> None:
    def broken(rows: int) -> None:
        raise WorkerBroken("illegal memory access")

    servant, _ = a_servant(broken)
    with pytest.raises(WorkerBroken):
        servant.answer(asked(batch=1))
