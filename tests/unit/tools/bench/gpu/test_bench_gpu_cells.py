"""Cells are measured one after the other, whatever becomes of one."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.unit.tools.bench.gpu.cell_builders import ON_CUDA, TURBO, a_repeat, told
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.tools.bench.gpu.cells import Effort, Grid, Outcome, Room, Setup, measure_cells
from transcriber_worker.tools.bench.gpu_watch import no_gpu
from transcriber_worker.tools.bench.remote import ContenderFailed

Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class ScriptedBench:
    """Answers as told."""

    facts: Mapping[str, str] = ON_CUDA

    def __init__(self, setup: Setup, answer: Answer) -> None:
        self.setup = setup
        self._answer = answer
        self.closed = False

    def ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        assert not self.closed
        return self._answer(request)

    def close(self) -> None:
        self.closed = True


class Hall:
    """Where benches are started."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.started: list[ScriptedBench] = []
        self.lines: list[str] = []
        self.refuse = False

    def start(self, setup: Setup) -> ScriptedBench:
        if self.refuse:
            raise ContenderFailed("no such GPU")
        self.started.append(ScriptedBench(setup, self._answer))
        return self.started[-1]

    def measure(
        self, *setups: Setup, batches: tuple[int, ...] = (1, 2, 4, 8), streams: tuple[int, ...] = (1, 2)
    ) -> list[Outcome]:
        grid = Grid(setups or (TURBO,), batches, streams, Effort(3, 1.0))
        room = Room(self.start, no_gpu, ManualClock(), self.lines.append)
        return [outcome for outcome, _ in measure_cells(grid, room)]


def fits_up_to(rows: int) -> Answer:
    """Memory for so many windows of all streams together."""

    def answer(request: Mapping[str, Any]) -> Mapping[str, Any]:
        if request["batch"] * request["streams"] > rows:
            return {"out_of_memory": "CUDA failed with error out of memory"}
        return told(a_repeat())

    return answer


def dies_at(batch: int) -> Answer:
    def answer(request: Mapping[str, Any]) -> Mapping[str, Any]:
        if request["batch"] == batch:
            raise ContenderFailed("its process ended")
        return told(a_repeat())

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
    assert [bench.setup for bench in hall.started] == [TURBO, torch]
    assert all(bench.closed for bench in hall.started)


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
    assert [bench.closed for bench in hall.started] == [True, True]


def test_one_that_does_not_start_fails_cell_by_cell() -> None:
    hall = Hall(fits_up_to(9))
    hall.refuse = True
    assert [outcome.failed for outcome in hall.measure(batches=(1, 2), streams=(1,))] == ["no such GPU"] * 2
