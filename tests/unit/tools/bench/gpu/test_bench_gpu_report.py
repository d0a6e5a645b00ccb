"""What `bench-gpu` tells: figures, what binds first, correctness, table and picture."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from tests.unit.tools.bench.gpu.report_builders import a_report, cells, heard, report_of
from tests.unit.tools.bench.scripted import TEXT, Contest, a_run, a_series
from transcriber_worker.tools.bench.gpu.contenders import (
    CRAMPED,
    PIPELINES,
    REFERENCE,
    correctness_specs,
    files_specs,
)
from transcriber_worker.tools.bench.gpu.figures import bounds_of, correctness_of
from transcriber_worker.tools.bench.gpu.picture import picture
from transcriber_worker.tools.bench.gpu.report import FilesFacts, GpuReport
from transcriber_worker.tools.bench.gpu.table import table
from transcriber_worker.tools.bench.gpu_watch import GpuUse
from transcriber_worker.tools.bench.measuring import Run

SVG = "{http://www.w3.org/2000/svg}"
OOM = {"transcriber_accelerator_out_of_memory_total": 2.0, "transcriber_batch_rows_count": 4.0}


def test_a_cells_figures_are_medians_of_its_repeats() -> None:
    cell = cells()[0]
    assert cell.times_real_time is not None
    assert cell.ms_per_window is not None
    assert cell.tokens_per_s is not None
    assert (cell.times_real_time.median, cell.times_real_time.most) == (150.0, 300.0)
    assert (cell.ms_per_window.least, cell.ms_per_window.median) == (100.0, 200.0)
    assert cell.tokens_per_s.median == 450
    assert (cell.tokens_per_window, cell.tokens_per_audio_s) == (90, 3)
    assert cell.phase_ms["decode"] == 50


def test_only_what_fails_fails_the_run_not_what_does_not_fit() -> None:
    fine = tuple(cell for cell in cells() if cell.failed is None)
    assert any(cell.out_of_memory for cell in fine)
    assert not a_report(cells=fine).failed
    assert a_report().failed


def test_a_report_reads_back_as_it_was_written() -> None:
    report = a_report()
    assert GpuReport.model_validate_json(report.model_dump_json()) == report


def bound(run: Run, **facts: str) -> dict[str, float]:
    """Stages by what they would allow, the one that binds first coming first."""
    series = a_series("batched-torch", run)
    (found,) = bounds_of(report_of(replace(series, facts={**series.facts, **facts})))
    return {stage.name: stage.times_real_time for stage in found.stages}


RUN = replace(a_run(10.0, 8.0), own_cpu_s=5.0, gpu=GpuUse(1, 0.4, 0.5))
"""100 s of audio in 10 s; the GPU busy for 0.4 of them, 8 CPU seconds of which the process itself took 5."""


def test_what_binds_first_comes_first() -> None:
    found = bound(RUN, device="cpu", readers="9")
    assert found == pytest.approx(
        {
            "engine host, were it one thread": 100 / 5.0,
            "GPU": 100 / (10 * 0.4),
            "all CPU work": 4 * 100 / 8.0,
            "media children": 4 * 100 / 3.0,
        },
        rel=1e-3,
    )
    assert list(found.values()) == sorted(found.values())


def test_media_children_are_no_faster_than_as_many_as_there_are() -> None:
    found = bound(RUN, device="cpu", readers="1")
    assert found["media children"] == pytest.approx(100 / 3.0, rel=1e-3)
    assert found["media children"] < found["all CPU work"]


def test_on_a_gpu_what_threads_use_that_wait_for_it_is_not_taken_for_work() -> None:
    assert list(bound(RUN, device="cuda", readers="2")) == ["GPU", "media children"]
    assert list(bound(RUN, device="cuda")) == ["GPU"], "faster-whisper reads files by itself"


def test_the_same_words_as_on_the_cpu_are_correct() -> None:
    found = correctness_of(heard((REFERENCE, a_run()), ("batched-torch", a_run())))
    (one,) = found.heard
    assert (one.contender, one.within, one.wer, one.cpu_wer) == ("batched-torch", True, 0.0, 0.0)
    assert not found.failed


def test_other_words_than_on_the_cpu_are_not() -> None:
    report = heard((REFERENCE, a_run()), ("batched-torch", a_run(10.0, 8.0, TEXT.replace("south", "north"))))
    found = correctness_of(report)
    assert found.failed
    assert found.heard[0].why == "0.1000 where the CPU has 0.0000"


@pytest.mark.parametrize(("counted", "shown"), [(OOM, True), ({"transcriber_batch_rows_count": 4.0}, False)])
def test_memory_that_was_to_run_out_must_have_done_so(counted: dict[str, float], shown: bool) -> None:
    run = a_run(10.0, 8.0, counted=counted)
    found = correctness_of(heard((REFERENCE, a_run()), (CRAMPED, run)))
    assert found.heard[0].within is shown
    assert (found.heard[0].out_of_memory > 0) is shown


def test_a_device_that_fails_is_not_correct() -> None:
    contest = Contest()
    specs = correctness_specs(torch=False, cuda=False)
    contest.seconds = {spec.name: 1.0 for spec in specs}
    contest.fails = ["batched-ctranslate2"]
    found = correctness_of(contest.run(specs))
    assert found.failed
    assert found.heard[0].why.startswith("failed: ")


def test_the_librarys_batches_are_also_tried_as_large_as_it_advises() -> None:
    sizes = {spec.name: spec.pipeline_batch for spec in files_specs(torch=False) if spec.name in PIPELINES}
    assert sizes == {"pipeline-3": 8, "pipeline-3-16": 16}
    assert "pipeline-3-16" not in [spec.name for spec in files_specs(torch=False, dry_run=True)]


def test_the_predecessors_way_is_the_baseline_and_torch_takes_part_where_it_is_installed() -> None:
    names = [spec.name for spec in files_specs(torch=True)]
    assert names[0] == "direct-3"
    assert {"direct", "direct-2", "pipeline", "pipeline-3"} < set(names)
    assert set(names) - {spec.name for spec in files_specs(torch=False)} == {"batched-torch"}
    assert CRAMPED in [spec.name for spec in correctness_specs(torch=True, cuda=True)]
    assert CRAMPED not in [spec.name for spec in correctness_specs(torch=True, cuda=False)]


def test_every_cell_has_a_line_that_says_what_became_of_it() -> None:
    shown = table(a_report())
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in shown.splitlines() if "|" in line]
    by_cell = {tuple(line[:3]): line[3:] for line in lines}
    assert by_cell["ctranslate2", "1", "1"][0] == "150.0 (75.0-300.0)"
    assert by_cell["ctranslate2", "1", "8"][-2:] == ["90", "3000"]
    assert by_cell["ctranslate2", "1", "16"][0] == "out of memory"
    assert by_cell["ctranslate2", "1", "32"][0] == "FAILED"
    assert "**ctranslate2, 1 x 32 FAILED**: its process ended" in shown


@pytest.mark.parametrize(("seconds", "told"), [(19.0, True), (21.0, False)])
def test_rounds_that_are_too_short_to_say_much_are_told_of(seconds: float, told: bool) -> None:
    report = heard(("direct-3", a_run(90.0)), ("batched-torch", a_run(seconds)))
    shown = table(a_report(files=(FilesFacts(report=report, bounds=bounds_of(report)),)))
    assert ("The fastest round took only 19.0 s" in shown) is told


def test_how_many_rounds_there_were_is_told() -> None:
    """A run that was broken off has fewer than were asked for."""
    (files,) = a_report().files
    assert ", 1 round\n" in table(a_report())
    twice = files.model_copy(update={"report": files.report.model_copy(update={"rounds": 2})})
    assert ", 2 rounds\n" in table(a_report(files=(twice,)))


def test_a_dry_run_and_a_missing_gpu_are_told_of() -> None:
    dry, real = table(a_report(dry_run=True)), table(a_report())
    assert "DRY RUN" in dry
    assert "DRY RUN" not in real
    assert "nothing was shown" in real  # its correctness was not looked at on a GPU
    assert "DRY RUN" in picture(a_report(dry_run=True))


def test_the_picture_has_a_line_for_each_encoder_and_number_of_streams() -> None:
    root = ET.fromstring(picture(a_report()))  # noqa: S314 - made here
    lines = root.findall(f"{SVG}polyline")
    assert sorted(len((line.get("points") or "").split()) for line in lines) == [1, 2]
    bars = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class") in ("ours", "other")]
    widths = {bar.get("class"): float(bar.get("width", 0)) for bar in bars}
    assert widths["ours"] == pytest.approx(5 * widths["other"], rel=0.01)
    width, height = (float(number) for number in (root.get("viewBox") or "").split()[2:])
    for line in lines:
        for point in (line.get("points") or "").split():
            x, y = (float(number) for number in point.split(","))
            assert 0 <= x <= width
            assert 0 <= y <= height
