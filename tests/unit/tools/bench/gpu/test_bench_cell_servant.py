"""The process that decodes batches from memory, without a model."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from tests.rows import a_decoded, a_row
from transcriber_worker.domain.audio import SAMPLE_RATE_HZ
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.inference.accelerator_errors import AcceleratorOutOfMemory
from transcriber_worker.inference.batched.meter import Meter
from transcriber_worker.inference.batched.rows import Decoded, Row
from transcriber_worker.observability.labels import EnginePhase
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.tools.bench.gpu.servant import CellServant

Trouble = Callable[[int], None]


class Model:
    """A `CellModel` that remembers its batches. `trouble` is told how many rows a batch has."""

    def __init__(self, metrics: Metrics, trouble: Trouble = lambda rows: None, meeting: int = 1) -> None:
        self._meter = Meter(metrics, SystemClock())
        self._trouble = trouble
        self._meeting = threading.Barrier(meeting)
        self.text = "one two three"
        self.batches: list[tuple[int, ...]] = []
        self.released_before: list[int] = []
        """Batches until then."""

    def release(self) -> None:
        self.released_before.append(len(self.batches))

    def decode(self, rows: Sequence[Row]) -> list[Decoded]:
        self.batches.append(tuple(int(row.pcm[0]) for row in rows))
        self._meeting.wait(60)
        with self._meter.phase(EnginePhase.DECODE):
            self._trouble(len(rows))
        return [a_decoded(self.text) for _ in rows]


def numbered(number: int) -> Row:
    return replace(a_row(), pcm=np.full(SAMPLE_RATE_HZ, number, np.int16))


def a_servant(trouble: Trouble = lambda rows: None, *, meeting: int = 1) -> tuple[CellServant, Model]:
    metrics = Metrics(CollectorRegistry())
    model = Model(metrics, trouble, meeting)
    return CellServant(model, [numbered(n) for n in range(5)], metrics, {}), model


def to_measure(batch: int, streams: int = 1, count: int = 1) -> dict[str, Any]:
    return {"batch": batch, "streams": streams, "repeats": 2, "count": count}


def to_warm_up(batch: int, streams: int = 1) -> dict[str, Any]:
    return {"batch": batch, "streams": streams, "warm_up": True}


def test_windows_audio_tokens_and_phases_are_counted() -> None:
    servant, model = a_servant()
    one, other = servant.answer(to_measure(batch=3))["repeats"]
    assert (one["windows"], one["audio_s"], one["tokens"]) == (3, 3.0, 9)
    assert 0 < one["phases_s"]["decode"] <= one["batch_s"] <= one["wall_s"]
    assert one["phases_s"]["encode"] == 0
    assert (other["windows"], other["tokens"]) == (3, 9)
    assert model.batches == [(0, 1, 2)] * 2


def test_as_many_batches_are_decoded_as_were_asked_for_and_no_more() -> None:
    servant, model = a_servant()
    repeats = servant.answer(to_measure(batch=2, streams=2, count=3))["repeats"]
    assert [one["windows"] for one in repeats] == [12, 12]
    assert len(model.batches) == 12
    assert not model.released_before  # which would take time of what is measured


def test_what_earlier_cells_hold_is_given_back_before_a_cell_is_warmed_up() -> None:
    servant, model = a_servant()
    assert servant.answer(to_warm_up(batch=3))["wall_s"] > 0
    assert model.released_before == [0]
    warmed = len(model.batches)
    servant.answer(to_warm_up(batch=1))
    assert model.released_before == [0, warmed]


def test_each_stream_is_warmed_up_with_one_window_first() -> None:
    """It makes its libraries' handles, which a large batch may leave no memory for."""
    servant, model = a_servant(meeting=2)
    servant.answer(to_warm_up(batch=2, streams=2))
    assert [len(batch) for batch in model.batches] == [1, 1, 2, 2, 2, 2]


def test_more_windows_than_there_are_come_around_again() -> None:
    servant, model = a_servant()
    servant.answer(to_measure(batch=7))
    assert model.batches[0] == (0, 1, 2, 3, 4, 0, 1)


def test_streams_decode_at_the_same_time_and_other_windows() -> None:
    servant, model = a_servant(meeting=2)  # whose barrier nobody passes alone
    repeats = servant.answer(to_measure(batch=2, streams=2))["repeats"]
    assert set(model.batches) == {(0, 1), (2, 3)}
    assert repeats[0]["windows"] == 4


@pytest.mark.parametrize("ask", [to_warm_up, to_measure])
def test_a_batch_that_does_not_fit_is_told_and_the_next_one_is_decoded(ask: Callable[[int], dict[str, Any]]) -> None:
    def full(rows: int) -> None:
        if rows > 2:
            raise AcceleratorOutOfMemory("CUDA failed with error out of memory")

    servant, _ = a_servant(full)
    assert servant.answer(ask(3)) == {"out_of_memory": "CUDA failed with error out of memory"}
    assert "out_of_memory" not in servant.answer(ask(2))


def test_a_gpu_that_stays_silent_has_no_figure() -> None:
    servant, model = a_servant()
    model.text = "one"
    assert "wall_s" in servant.answer(to_warm_up(batch=2))
    model.text = ""
    with pytest.raises(RuntimeError, match="0 tokens in 2 s of speech: the driver does not fit"):
        servant.answer(to_warm_up(batch=2))


def test_anything_else_that_goes_wrong_is_no_figure() -> None:
    def broken(rows: int) -> None:
        raise WorkerBroken("illegal memory access")

    servant, _ = a_servant(broken)
    with pytest.raises(WorkerBroken):
        servant.answer(to_measure(batch=1))
