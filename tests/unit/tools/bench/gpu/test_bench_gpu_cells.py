"""Cells are measured one after the other, whatever becomes of one."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.unit.tools.bench.gpu.cell_builders import ON_CUDA, TURBO, a_repeat, told
from tests.unit.tools.bench.scripted import no_gpu
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.observability.gpu_reading import GpuReading
from transcriber_worker.tools.bench.gpu.cells import CellMeters, Effort, Grid, Outcome, Setup, grid_of, measure_cells
from transcriber_worker.tools.bench.gpu_watch import ReadGpu
from transcriber_worker.tools.bench.remote import ContenderFailed

Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]
WARM: Mapping[str, Any] = {"wall_s": 0.25}


class ScriptedProcess:
    """Answers as told."""

    facts: Mapping[str, str] = ON_CUDA

    def __init__(self, setup: Setup, answer: Answer) -> None:
        self.setup = setup
        self._answer = answer
        self.closed = False
        self.asked: list[Mapping[str, Any]] = []

    def ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        assert not self.closed
        self.asked.append(request)
        return self._answer(request)

    def close(self) -> None:
        self.closed = True


class Hall:
    """Where processes are started."""

    def __init__(self, answer: Answer, read_gpu: ReadGpu = no_gpu) -> None:
        self._answer = answer
        self._read_gpu = read_gpu
        self.started: list[ScriptedProcess] = []
        self.refused = 0
        self.lines: list[str] = []
        self.refuse = False

    def start(self, setup: Setup) -> ScriptedProcess:
        if self.refuse:
            self.refused += 1
            raise ContenderFailed("no such GPU")
        self.started.append(ScriptedProcess(setup, self._answer))
        return self.started[-1]

    def measure(
        self, *setups: Setup, batches: tuple[int, ...] = (1, 2, 4, 8), streams: tuple[int, ...] = (1, 2)
    ) -> list[Outcome]:
        grid = Grid(setups or (TURBO,), batches, streams, Effort(3, 1.0))
        meters = CellMeters(self.start, self._read_gpu, ManualClock(), self.lines.append)
        return list(measure_cells(grid, meters))


def fits_up_to(rows: int, *, once_warm: int = 99) -> Answer:
    """Memory for so many windows of all streams together; for `once_warm` where they are measured."""

    def answer(request: Mapping[str, Any]) -> Mapping[str, Any]:
        warm = request.get("warm_up", False)
        if request["batch"] * request["streams"] > (rows if warm else once_warm):
            return {"out_of_memory": "CUDA failed with error out of memory"}
        return WARM if warm else told(a_repeat())

    return answer


def dies_at(batch: int) -> Answer:
    def answer(request: Mapping[str, Any]) -> Mapping[str, Any]:
        if request["batch"] == batch:
            raise ContenderFailed("its process ended")
        return WARM if request.get("warm_up") else told(a_repeat())

    return answer


def shape(outcome: Outcome) -> tuple[int, int]:
    return outcome.cell.streams, outcome.cell.batch


def test_every_cell_is_measured_in_the_same_process() -> None:
    hall = Hall(fits_up_to(99))
    found = hall.measure()
    assert [shape(outcome) for outcome in found] == [(s, b) for s in (1, 2) for b in (1, 2, 4, 8)]
    assert all(outcome.repeats == (a_repeat(),) for outcome in found)
    assert len(hall.started) == 1
    assert hall.started[0].closed


def test_each_setup_has_a_process_of_its_own_and_only_one_is_there() -> None:
    hall = Hall(fits_up_to(99))
    torch = Setup("random-turbo", "torch", 5)
    hall.measure(TURBO, torch, batches=(1,), streams=(1,))
    assert [process.setup for process in hall.started] == [TURBO, torch]
    assert all(process.closed for process in hall.started)


def test_what_does_not_fit_is_said_and_larger_batches_are_not_tried() -> None:
    hall = Hall(fits_up_to(4))
    by_shape = {shape(outcome): outcome for outcome in hall.measure()}
    assert {one for one, outcome in by_shape.items() if outcome.repeats} == {(1, 1), (1, 2), (1, 4), (2, 1), (2, 2)}
    assert by_shape[1, 8].out_of_memory == "CUDA failed with error out of memory"
    assert by_shape[2, 4].out_of_memory == "CUDA failed with error out of memory"
    assert by_shape[2, 8].out_of_memory == "not tried: 4 windows did not fit"
    assert len(hall.started) == 1
    assert any("out of memory" in line for line in hall.lines)


def test_a_process_that_dies_is_started_anew_for_the_next_cell() -> None:
    hall = Hall(dies_at(2))
    found = hall.measure(batches=(1, 2, 4), streams=(1,))
    assert [outcome.failed for outcome in found] == [None, "its process ended", None]
    assert [process.closed for process in hall.started] == [True, True]


def test_one_that_does_not_start_is_not_started_again_for_the_other_cells() -> None:
    hall = Hall(fits_up_to(9))
    hall.refuse = True
    failed = [outcome.failed for outcome in hall.measure(batches=(1, 2), streams=(1, 2))]
    assert failed == ["no such GPU", *["not tried: no such GPU"] * 3]
    assert hall.refused == 1


def test_other_setups_are_still_tried() -> None:
    hall = Hall(fits_up_to(9))
    hall.refuse = True
    hall.measure(TURBO, Setup("random-turbo", "torch", 5))
    assert hall.refused == 2


def test_memory_that_runs_out_only_once_warm_is_told_as_well() -> None:
    found = Hall(fits_up_to(99, once_warm=2)).measure(streams=(1,))
    assert [bool(outcome.repeats) for outcome in found] == [True, True, False, False]
    assert found[2].out_of_memory == "CUDA failed with error out of memory"


def test_the_gpu_is_only_looked_at_once_a_cell_is_warm() -> None:
    """While kernels are compiled it is idle, and holds what the cell before has left."""
    warm = False

    def answer(request: Mapping[str, Any]) -> Mapping[str, Any]:
        nonlocal warm
        warm = True
        return WARM if "warm_up" in request else told(a_repeat())

    hall = Hall(answer, lambda: GpuReading(1.0, 1000) if warm else GpuReading(0.0, 9000))
    (outcome,) = hall.measure(batches=(1,), streams=(1,))
    assert outcome.gpu is not None
    assert outcome.gpu.peak_bytes == 1000


@pytest.mark.parametrize(
    ("one_s", "streams", "count"), [(0.25, 1, 4), (0.03, 3, 33), (5.0, 1, 1), (5.0, 2, 4), (5.0, 3, 4), (1e-6, 1, 50)]
)
def test_batches_are_as_many_as_take_the_time_and_a_few_where_streams_must_come_apart(
    one_s: float, streams: int, count: int
) -> None:
    """With one batch on each, all streams encode at first and decode then."""
    hall = Hall(lambda request: {"wall_s": one_s} if request.get("warm_up") else told(a_repeat()))
    hall.measure(batches=(8,), streams=(streams,))
    assert hall.started[0].asked[-1] == {"batch": 8, "streams": streams, "repeats": 3, "count": count}


def test_a_cell_says_what_it_ran_on() -> None:
    assert all(outcome.facts == ON_CUDA for outcome in Hall(fits_up_to(4)).measure())


def test_what_is_compared_with_each_other_stands_together() -> None:
    setups = grid_of(["turbo", "large-v3"], ["ctranslate2", "torch"], [1, 5])
    assert [(setup.model, setup.beam_size, setup.encoder) for setup in setups] == [
        (model, beam, encoder)
        for model in ("turbo", "large-v3")
        for beam in (1, 5)
        for encoder in ("ctranslate2", "torch")
    ]
