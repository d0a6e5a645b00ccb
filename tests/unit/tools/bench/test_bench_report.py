"""A whole run with scripted contenders: the report, its table, its picture, its recommendation."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.tools.bench.scripted import SECONDS, TEXT, WHERE, Contest, a_spec, a_workload, no_gpu, no_load
from transcriber_worker.tools.bench.contenders import DEFAULT, SPECS, Kind, Spec
from transcriber_worker.tools.bench.measuring import Meters
from transcriber_worker.tools.bench.picture import picture
from transcriber_worker.tools.bench.programme import Programme, run
from transcriber_worker.tools.bench.report import Report, Spread
from transcriber_worker.tools.bench.sweep import advice, sweep_specs
from transcriber_worker.tools.bench.table import table

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def contest() -> Contest:
    return Contest()


def test_every_workload_and_beam_has_a_row_of_each_contender_in_order(contest: Contest) -> None:
    report = contest.run(workloads=[a_workload(name="long"), a_workload(name="clips")], beams=(5, 1))
    assert [(row.workload, row.beam_size, row.contender) for row in report.rows] == [
        (workload, beam, name) for workload in ("long", "clips") for beam in (5, 1) for name in SECONDS
    ]
    assert not report.failed
    assert report.baseline == "direct"


def test_what_was_found_so_far_is_told_after_each_round(contest: Contest) -> None:
    """Whoever breaks a long run off has it up to there."""
    contest.fails = ["pipeline"]
    reports = list(contest.reports(beams=(5, 1)))
    assert [(report.rounds, len(report.rows)) for report in reports] == [(1, 4), (2, 4), (3, 4), (1, 8), (2, 8), (3, 8)]
    for report in reports:
        rows = [row for row in report.rows if row.contender != "pipeline"]
        assert [set(row.ratios) for row in rows] == [{"direct"}] * len(rows)


def test_ratios_are_within_one_beam(contest: Contest) -> None:
    report = contest.run(beams=(5, 1))
    for row in report.rows:
        assert row.ratios["direct"].wall.median == pytest.approx(12.0 / SECONDS[row.contender], abs=1e-3)
        assert row.ratios["pipeline"].cpu.median == pytest.approx(6.0 / SECONDS[row.contender], abs=1e-3)


def test_all_models_are_let_go_of_at_the_end_and_between_beams(contest: Contest) -> None:
    contest.run(beams=(5, 1))
    assert len(contest.made) == 8
    assert contest.most_alive == 4
    assert all(one.closed for one in contest.made)


def test_one_at_a_time_holds_one_model(contest: Contest) -> None:
    contest.run(one_at_a_time=True)
    assert contest.most_alive == 1
    assert all(one.closed for one in contest.made)


def test_the_report_survives_being_written_and_read(contest: Contest) -> None:
    report = contest.run()
    text = report.model_dump_json()
    assert Report.model_validate_json(text) == report
    fields = json.loads(text)
    assert fields["version"] == 1
    assert fields["rows"][2]["ratios"]["direct"]["wall"] == {"median": 4.0, "least": 4.0, "most": 4.0}
    assert fields["machine"] == {
        "cpu": "Abacus", "cores": 2, "memory_bytes": 8589934592, "gpus": [], "system": "Linux x86_64"
    }  # fmt: skip


def test_a_failure_is_told_everywhere(contest: Contest) -> None:
    contest.fails = ("batched",)
    report = contest.run()
    assert report.failed
    assert "**batched FAILED**: batched: it fell over" in table(report)
    assert "failed" in _texts(picture(report))


def test_without_its_baseline_a_run_has_figures_and_no_ratios(contest: Contest) -> None:
    contest.fails = ("direct",)
    report = contest.run()
    assert all("direct" not in row.ratios for row in report.rows)
    assert report.rows[2].ratios["pipeline"].wall.median == 2.0
    assert "x direct" not in table(report)
    assert _texts(picture(report))


def test_the_table_is_markdown_with_columns_under_each_other(contest: Contest) -> None:
    lines = [line for line in table(contest.run()).splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    assert len({line.count("|") for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    columns = dict(zip(cells[0], cells[4], strict=True))
    assert (columns[""], columns["wall s"], columns["x direct"], columns["x pipeline"], columns["WER"]) == (
        "batched", "0.6", "4.00", "2.00", "0.0000"
    )  # fmt: skip


def test_one_round_is_called_no_claim(contest: Contest) -> None:
    programme = Programme((SPECS["direct"],), (a_workload(),), (5,), 1)
    (report,) = run(programme, WHERE, contest.start, Meters(no_load, contest.clock, no_gpu), lambda _: None)
    assert "no claim" in table(report)
    assert "no claim" not in table(contest.run())


def test_a_machine_that_others_use_too_is_told_of(contest: Contest) -> None:
    report = contest.run()
    busy = report.rows[0].model_copy(update={"others_share": Spread(median=0.4, least=0.4, most=0.4)})
    assert "up to 40 % of this machine's processors" in table(report.model_copy(update={"rows": (busy,)}))
    assert "Something else" not in table(report)


def test_bars_are_as_long_as_contenders_are_fast(contest: Contest) -> None:
    root = _parsed(picture(contest.run()))
    bars = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class") in ("ours", "other")]
    widths = [float(bar.get("width", 0)) for bar in bars]
    assert [width / widths[0] for width in widths] == pytest.approx([1, 2, 4, 6], rel=0.01)
    assert [bar.get("class") for bar in bars] == ["other", "other", "ours", "ours"]
    right = max(float(bar.get("x", 0)) + float(bar.get("width", 0)) for bar in bars)
    assert right <= float((root.get("viewBox") or "").split()[2])


def test_what_is_heard_or_named_can_not_break_the_picture(contest: Contest) -> None:
    odd = replace(a_spec("direct"), name="<direct> & co")
    contest.seconds[odd.name] = 1.0
    assert odd.name in _texts(picture(contest.run(specs=[odd])))


def _parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - written by ourselves


def _texts(svg: str) -> list[str]:
    return [text.text or "" for text in _parsed(svg).iter(f"{SVG}text")]


def test_the_first_of_all_contenders_is_faster_whisper_itself() -> None:
    assert DEFAULT[0] == "direct"
    assert (SPECS["direct"].kind, SPECS["direct"].at_once) == (Kind.DIRECT, 1)
    assert [spec.at_once for spec in SPECS.values() if spec.kind is Kind.DIRECT] == [1, 2, 3]


@pytest.mark.parametrize("spec", SPECS.values(), ids=lambda spec: spec.name)
def test_a_contender_survives_its_way_to_its_process(spec: Spec) -> None:
    assert Spec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def sweep(contest: Contest, seconds: dict[str, float], text: str | None = TEXT) -> str:
    specs = [spec for spec in sweep_specs(cuda=False, cores=2) if spec.name in seconds]
    contest.seconds = seconds
    return advice(contest.run(specs=specs, workloads=[a_workload(text)]), specs)


def test_the_fastest_settings_are_recommended_as_yaml(contest: Contest) -> None:
    found = sweep(contest, {"full-1x2": 9.0, "full-2x4": 6.0, "full-2x8": 7.0})
    assert found.endswith("engine:\n  window_padding: full\n  workers: 2\n  max_batch_windows: 4\n")


def test_on_a_gpu_streams_are_recommended(contest: Contest) -> None:
    specs = [spec for spec in sweep_specs(cuda=True, cores=2) if spec.name == "full-3x16"]
    contest.seconds = {"full-3x16": 2.0}
    report = contest.run(specs=specs)
    on_gpu = tuple(row.model_copy(update={"facts": {"device": "cuda"}}) for row in report.rows)
    found = advice(report.model_copy(update={"rows": on_gpu}), specs)
    assert "\n  cuda_streams: 3\n" in found
    assert "workers" not in found


def test_adaptive_windows_are_recommended_only_where_they_cost_no_words(contest: Contest) -> None:
    seconds = {"full-2x4": 6.0, "adaptive-2x4": 2.0}
    assert "window_padding: adaptive" in sweep(contest, seconds)
    assert "window_padding: full" in sweep(contest, seconds, text=None)
    contest.texts = {"adaptive-2x4": TEXT.replace("ferry", "fairy")}
    assert "window_padding: full" in sweep(contest, seconds)


def test_of_settings_that_are_as_fast_the_ones_with_less_memory_are_recommended(contest: Contest) -> None:
    specs = [spec for spec in sweep_specs(cuda=False, cores=2) if spec.name in ("full-1x2", "full-2x8")]
    contest.seconds = {"full-1x2": 6.1, "full-2x8": 6.0}
    report = contest.run(specs=specs)
    sizes = {"full-1x2": 500, "full-2x8": 900}
    rows = tuple(row.model_copy(update={"peak_bytes": sizes[row.contender]}) for row in report.rows)
    assert "max_batch_windows: 2" in advice(report.model_copy(update={"rows": rows}), specs)


def test_a_sweep_in_which_nothing_worked_recommends_nothing(contest: Contest) -> None:
    contest.fails = ("full-2x4",)
    assert "nothing to recommend" in sweep(contest, {"full-2x4": 6.0})


def test_a_sweep_tries_no_more_workers_than_there_are_cores() -> None:
    assert {spec.workers for spec in sweep_specs(cuda=False, cores=2)} == {1, 2}
    assert {spec.max_batch_windows for spec in sweep_specs(cuda=True, cores=8)} == {8, 16, 32}
    assert sweep_specs(cuda=False, cores=1)[0].padding == "full"


def test_the_report_names_no_folder(contest: Contest) -> None:
    workload = a_workload()
    item = replace(workload.items[0], path=Path("/home/someone/secret/call.wav"))
    text = contest.run(workloads=[replace(workload, items=(item,))]).model_dump_json()
    assert "call.wav" in text
    assert "someone" not in text
