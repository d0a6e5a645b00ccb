"""Rounds: who has a turn when, what is counted, and what is no measurement."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.tools.bench.scripted import TEXT, ScriptedContender, a_spec, a_workload, heard, no_gpu, no_load
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.observability.gpu_reading import GpuReading
from transcriber_worker.observability.process_tree import MachineLoad
from transcriber_worker.tools.bench.contenders import Spec
from transcriber_worker.tools.bench.measuring import Booth, Meters, Series, measure, wrong_with
from transcriber_worker.tools.bench.remote import ContenderFailed
from transcriber_worker.tools.bench.workloads import Workload

WARM_UP = Path("warm-up.wav")


class Fair:
    """Booths with scripted contenders."""

    def __init__(self, *names: str, stay: bool = True) -> None:
        self.clock = ManualClock()
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self.told: list[str] = []
        self.started: list[str] = []
        self.contenders = {name: ScriptedContender(a_spec(name), self.clock, calls=self.calls) for name in names}
        self.booths = [Booth(a_spec(name), self._start, WARM_UP, stay=stay) for name in names]

    def _start(self, spec: Spec) -> ScriptedContender:
        self.started.append(spec.name)
        return self.contenders[spec.name]

    def measure(
        self, rounds: int = 1, workload: Workload | None = None, load: Callable[[], MachineLoad] = no_load
    ) -> dict[str, Series]:
        meters = Meters(load, self.clock, no_gpu)
        *_, found = measure(self.booths, workload or a_workload(), rounds, meters, self.told.append)
        return {series.spec.name: series for series in found}

    def turns(self) -> str:
        """Who was measured, in order."""
        return "".join(name for name, files in self.calls if files != (WARM_UP.name,))


def test_rounds_are_interleaved_and_each_begins_with_another_one() -> None:
    fair = Fair("a", "b", "c")
    found = fair.measure(rounds=4)
    assert fair.turns() == "abcbcacababc"
    assert [len(series.runs) for series in found.values()] == [4, 4, 4]


def test_a_contender_is_started_once_and_warmed_up_before_it_is_measured() -> None:
    fair = Fair("a")
    found = fair.measure(rounds=2)
    fair.measure(rounds=1)
    assert fair.started == ["a"]
    assert [files for _, files in fair.calls] == [(WARM_UP.name,), ("0.wav",), ("0.wav",), ("0.wav",)]
    assert [run.cpu_s for run in found["a"].runs] == [3.0, 3.0]
    assert fair.contenders["a"].closed == 0


def test_one_at_a_time_never_holds_two_models() -> None:
    fair = Fair("a", "b", stay=False)
    fair.measure(rounds=2)
    assert fair.started == ["a", "b", "b", "a"]
    assert [contender.closed for contender in fair.contenders.values()] == [2, 2]


def test_wall_clock_memory_and_all_cpu_seconds_are_counted() -> None:
    """What it still does after the last text belongs to the round: a reader process made ready for the next file."""
    fair = Fair("a")
    contender = fair.contenders["a"]
    contender.rss_bytes, contender.still_busy_s = (100, 700, 300), 2.5
    (run,) = fair.measure()["a"].runs
    assert run.wall_s == 2.0
    assert run.cpu_s == pytest.approx(3.0 + 2.5)
    assert run.peak_bytes == 700


def test_one_that_goes_on_computing_while_it_should_idle_is_out() -> None:
    fair = Fair("a", "b")
    fair.contenders["a"].still_busy_s = 1e9
    found = fair.measure(rounds=2)
    assert "goes on computing" in str(found["a"].failed)
    assert found["b"].failed is None


def test_what_others_take_of_the_machine_meanwhile_is_told() -> None:
    fair = Fair("a")
    began = fair.clock.monotonic()

    def load() -> MachineLoad:
        """Two processors: one is taken by something else all the time."""
        return MachineLoad(fair.clock.monotonic() - began + fair.contenders["a"].usage().cpu_s, 2)

    (run,) = fair.measure(load=load)["a"].runs
    assert run.others_share == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("fails_at", [0, 1, 2], ids=["warming up", "first round", "second round"])
def test_one_that_fails_has_no_figures_and_does_not_hold_up_the_others(fails_at: int) -> None:
    fair = Fair("a", "b")
    fair.contenders["a"].fails_at = [fails_at]
    found = fair.measure(rounds=3)
    assert found["a"].failed == "a: it fell over"
    assert len(found["b"].runs) == 3
    assert any("a FAILED" in line for line in fair.told)


def test_one_that_dies_after_its_answer_has_no_figures() -> None:
    """What is left of its CPU seconds would be fewer than none."""
    fair = Fair("a")
    fair.contenders["a"].dies_after = 1
    series = fair.measure()["a"]
    assert "ended" in str(series.failed)
    assert series.runs == []


def test_one_that_failed_is_started_anew_for_the_next_workload() -> None:
    fair = Fair("a")
    fair.contenders["a"].fails_at = [1]
    assert fair.measure()["a"].failed
    assert fair.measure()["a"].failed is None
    assert fair.started == ["a", "a"]
    assert fair.contenders["a"].closed == 1


def test_one_that_hears_several_files_at_once_is_warmed_up_on_all_its_workers() -> None:
    contender = ScriptedContender(a_spec(), ManualClock())
    with Booth(replace(a_spec(), at_once=3), lambda spec: contender, WARM_UP, stay=True).turn():
        assert contender.calls == [("direct", (WARM_UP.name,) * 3)]


def test_what_the_gpu_did_and_the_process_alone_used_belong_to_a_run() -> None:
    clock = ManualClock()
    contender = ScriptedContender(a_spec(), clock)
    readings = [GpuReading(0.5, bytes_) for bytes_ in (700, 900)]

    def read() -> GpuReading:
        return readings.pop() if readings else GpuReading(0.5, 100)

    booth = Booth(a_spec(), lambda spec: contender, WARM_UP, stay=True)
    ((series,),) = measure([booth], a_workload(), 1, Meters(no_load, clock, read), print)
    (run,) = series.runs
    assert run.gpu is not None
    assert (run.gpu.peak_bytes, run.gpu.busy) == (900, 0.5)
    assert run.own_cpu_s == 1.0


def test_one_that_does_not_even_start_is_out() -> None:
    def start(spec: Spec) -> ScriptedContender:
        raise ContenderFailed("no such model")

    clock = ManualClock()
    booth = Booth(a_spec(), start, WARM_UP, stay=True)
    *_, (series,) = measure([booth], a_workload(), 2, Meters(no_load, clock, no_gpu), print)
    assert (series.failed, series.runs) == ("no such model", [])


WRONG: Mapping[str, tuple[Workload, list[str]]] = {
    "1 files came back of 2": (a_workload(TEXT, TEXT), [TEXT]),
    "it heard nothing in any file": (a_workload(None), [" "]),
    "it heard nothing in 1.wav": (a_workload(TEXT, TEXT), [TEXT, ""]),
}


@pytest.mark.parametrize("message", WRONG)
def test_missing_files_and_empty_texts_are_errors_and_not_speed(message: str) -> None:
    workload, texts = WRONG[message]
    fair = Fair("a")
    fair.contenders["a"].texts = texts
    series = fair.measure(workload=workload)["a"]
    assert message in str(series.failed)
    assert series.runs == []


def test_words_without_times_and_half_a_file_are_errors() -> None:
    assert "have no times" in str(wrong_with(a_workload(), [heard(timed_words=0)]))
    assert "for 4.0 s long" in str(wrong_with(a_workload(), [heard(audio_s=4.0)]))


def test_silence_may_be_heard_as_silence() -> None:
    workload = a_workload(TEXT, "", None)
    assert wrong_with(workload, [heard(), heard(""), heard("")]) is None
    assert wrong_with(workload, [heard(), replace(heard(), text="a few"), heard("")]) is None
