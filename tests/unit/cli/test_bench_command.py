"""`bench`: what is asked for, what is written, and what it exits with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Terminal
from tests.unit.tools.bench.scripted import Contest
from transcriber_worker.app.bench import BenchOrder
from transcriber_worker.cli.exits import ExitCode
from transcriber_worker.tools.bench.contenders import DEFAULT
from transcriber_worker.tools.bench.report import Report

Orders = list[BenchOrder]


@pytest.fixture
def contest() -> Contest:
    return Contest()


@pytest.fixture
def orders(contest: Contest, monkeypatch: pytest.MonkeyPatch) -> Orders:
    """What was ordered; answered by scripted contenders."""
    given: Orders = []

    def run_bench(order: BenchOrder, *_: Any) -> Report:
        given.append(order)
        contest.seconds = {spec.name: 1.0 for spec in order.specs}
        return contest.run(order.specs, beams=order.beams)

    answer: Callable[..., Report] = run_bench
    monkeypatch.setattr("transcriber_worker.app.bench.run_bench", answer)
    return given


def test_table_json_and_picture_are_written(terminal: Terminal, orders: Orders, tmp_path: Path) -> None:
    answer = terminal.call("bench", "--out", tmp_path / "found")
    assert answer.code == ExitCode.OK
    assert "| batched" in answer.out
    written = {path.name: path.read_text() for path in (tmp_path / "found").iterdir()}
    assert set(written) == {"benchmark.json", "benchmark.md", "benchmark.svg"}
    assert json.loads(written["benchmark.json"])["version"] == 1
    assert written["benchmark.md"] in answer.out
    assert written["benchmark.svg"].startswith("<svg")


def test_by_default_all_contenders_hear_the_folder_with_the_models_beam(terminal: Terminal, orders: Orders) -> None:
    terminal.call("bench")
    (order,) = orders
    assert tuple(spec.name for spec in order.specs) == DEFAULT
    assert (order.loads, order.beams, order.rounds) == (("folder",), (5,), 3)


def test_what_is_asked_for_is_ordered_once_each(terminal: Terminal, orders: Orders) -> None:
    terminal.call(
        "bench", "--contenders", "batched", "direct", "batched", "--beams", "5", "1", "5",
        "--workloads", "long", "clips", "--rounds", "2", "--one-at-a-time",
    )  # fmt: skip
    (order,) = orders
    assert [spec.name for spec in order.specs] == ["batched", "direct"]
    assert (order.beams, order.loads, order.rounds, order.one_at_a_time) == ((5, 1), ("long", "clips"), 2, True)


def test_a_failed_contender_fails_the_command(terminal: Terminal, orders: Orders, contest: Contest) -> None:
    contest.fails = ("batched",)
    answer = terminal.call("bench")
    assert answer.code == ExitCode.JOB_FAILED
    assert "batched FAILED" in answer.out


def test_a_sweep_recommends_settings(terminal: Terminal, orders: Orders) -> None:
    answer = terminal.call("bench", "--sweep", "--beams", "5", "1", "--workloads", "clips", "long")
    assert "engine:\n  window_padding: " in answer.out
    assert (Path(".bench") / "recommended.yaml").read_text() in answer.out
    (order,) = orders
    assert order.one_at_a_time
    assert (order.beams, order.loads) == ((5,), ("clips",))


def test_an_unknown_contender_is_told_who_there_is(terminal: Terminal, orders: Orders) -> None:
    answer = terminal.call("bench", "--contenders", "batched", "magic")
    assert answer.code == ExitCode.USAGE
    assert "no such contender: magic; there are: direct" in answer.err
    assert orders == []


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "long"])
def test_a_recording_of_no_length_or_without_end_is_refused(terminal: Terminal, orders: Orders, seconds: str) -> None:
    assert terminal.call("bench", f"--long-s={seconds}").code == ExitCode.USAGE
    assert orders == []


def test_without_recordings_nothing_is_fetched_or_started(terminal: Terminal) -> None:
    answer = terminal.call("bench")
    assert answer.code == ExitCode.USAGE
    assert (
        answer.err == "there are no recordings at demo/recordings: name a recording or a folder of them with --audio\n"
    )


def test_a_folder_that_can_not_be_made_is_told_and_the_table_shown(
    terminal: Terminal, orders: Orders, tmp_path: Path
) -> None:
    (tmp_path / "found").write_text("not a folder")
    answer = terminal.call("bench", "--out", tmp_path / "found")
    assert (answer.code, answer.err) == (ExitCode.USAGE, f"{tmp_path / 'found'}: File exists\n")
    assert "| batched" in answer.out
