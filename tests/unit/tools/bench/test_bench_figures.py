"""The arithmetic: medians, ratios within a round, words, batches."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.tools.bench.scripted import TEXT, a_run, a_series, a_workload, heard
from transcriber_worker.tools.bench.figures import facts_of, ratio, rows_of, spread
from transcriber_worker.tools.bench.gpu_watch import GpuUse
from transcriber_worker.tools.bench.report import GpuFacts, Spread
from transcriber_worker.tools.bench.workloads import Item, Workload


def test_a_spread_is_median_least_and_most() -> None:
    assert spread([3.0, 1.0, 10.0]) == Spread(median=3.0, least=1.0, most=10.0)
    assert spread([1.0, 3.0]).median == 2.0


def test_ratios_are_of_the_same_round() -> None:
    """The machine is three times as slow in the second round: it was twice as fast in both."""
    found = ratio([a_run(10.0, 12.0), a_run(30.0, 36.0)], [a_run(5.0, 4.0), a_run(15.0, 12.0)])
    assert found.wall == Spread(median=2.0, least=2.0, most=2.0)
    assert found.cpu == Spread(median=3.0, least=3.0, most=3.0)


def test_ratios_are_medians_of_the_rounds_and_not_of_the_seconds() -> None:
    found = ratio([a_run(10.0), a_run(20.0), a_run(30.0)], [a_run(10.0), a_run(5.0), a_run(10.0)])
    assert found.wall == Spread(median=3.0, least=1.0, most=4.0)


def test_all_are_held_against_the_first_one_and_against_the_pipeline() -> None:
    rows = rows_of(
        [a_series("direct", a_run(12.0)), a_series("pipeline", a_run(6.0)), a_series("batched", a_run(3.0))],
        a_workload(audio_s=60.0),
    )
    direct, pipeline, batched = rows
    assert {name: one.wall.median for name, one in batched.ratios.items()} == {"direct": 4.0, "pipeline": 2.0}
    assert {name: one.wall.median for name, one in direct.ratios.items()} == {"direct": 1.0, "pipeline": 0.5}
    assert (direct.times_real_time, pipeline.times_real_time) == (5.0, 10.0)


def test_one_that_failed_has_a_row_without_figures_and_nobody_is_held_against_it() -> None:
    failed, other = rows_of([a_series("direct", failed="it fell over"), a_series("batched", a_run())], a_workload())
    assert (failed.failed, failed.wall_s, failed.words, failed.ratios) == ("it fell over", None, None, {})
    assert other.ratios == {}
    assert other.wall_s is not None


def test_memory_is_the_most_of_all_rounds() -> None:
    (row,) = rows_of([a_series("a", a_run(peak_bytes=5), a_run(peak_bytes=9), a_run(peak_bytes=7))], a_workload())
    assert row.peak_bytes == 9


def test_the_work_and_the_gpu_of_a_row_are_those_of_its_rounds() -> None:
    runs = [
        replace(a_run(), heard=(replace(heard(), tokens=tokens),), own_cpu_s=own, gpu=GpuUse(peak, busy, busy))
        for tokens, own, peak, busy in ((30, 1.0, 500, 0.2), (10, 3.0, 900, 0.9), (20, 2.0, 700, None))
    ]
    (row,) = rows_of([a_series("a", *runs)], a_workload())
    assert row.tokens_per_audio_s == 2.0
    assert row.own_cpu_s == Spread(median=2.0, least=1.0, most=3.0)
    assert row.gpu == GpuFacts(peak_bytes=900, busy=0.55, busy_within=0.55)
    (without,) = rows_of([a_series("a", a_run())], a_workload())
    assert without.gpu is None


def test_all_are_also_held_against_others_that_are_named() -> None:
    rows = rows_of([a_series(name, a_run()) for name in "abcd"], a_workload(), ("b", "d"))
    assert set(rows[0].ratios) == {"a", "b", "d"}


def test_when_files_were_done_is_told_of_the_median_round() -> None:
    runs = [a_run(9.0, done_s=(9.0, 9.0, 9.0)), a_run(3.0, done_s=(1.0, 2.0, 3.0)), a_run(1.0, done_s=(1.0, 1.0, 1.0))]
    (row,) = rows_of([a_series("a", *runs)], a_workload())
    assert row.file_done_s == Spread(median=2.0, least=1.0, most=3.0)


def test_word_errors_are_pooled_over_files_and_their_median_taken_over_rounds() -> None:
    workload = a_workload("one two three four five six", "seven eight", None)
    rounds = [
        ("one two three four five six", "seven eight", "who knows"),
        ("one two", "seven eight", "who knows"),
        ("one two three four five six", "seven ate", "who knows"),
    ]
    (row,) = rows_of([a_series("a", *(a_run(1.0, 1.0, *texts) for texts in rounds))], workload)
    assert row.words is not None
    assert (row.words.words, row.words.edits, row.words.wer) == (8, 1, 0.125)
    assert row.words.missing_run == ("three", "four", "five", "six")
    assert not row.same_text


def test_without_a_known_text_there_is_no_word_error_rate() -> None:
    (row,) = rows_of([a_series("a", a_run(), a_run())], a_workload(None))
    assert row.words is None
    assert row.same_text


def clips(text: str, count: int) -> Workload:
    return Workload("clips", tuple(Item(Path(f"{n}.wav"), 5.0, clip=True) for n in range(count)), text)


def test_clips_are_held_against_the_text_up_to_where_the_last_of_them_ends() -> None:
    workload = clips("one two three four five six seven eight", 2)
    (row,) = rows_of([a_series("a", a_run(1.0, 1.0, "One two", "three for five."))], workload)
    assert row.words is not None
    assert (row.words.words, row.words.edits) == (5, 1)


def test_where_the_clips_end_is_the_same_for_all_so_that_a_lost_end_is_an_error() -> None:
    workload = clips("one two three four five six seven eight", 2)
    rows = rows_of(
        [
            a_series("loses", a_run(1.0, 1.0, "one two", "three")),
            a_series("right", a_run(1.0, 1.0, "one two", "three four five")),
            a_series("too", a_run(1.0, 1.0, "one two", "three four five")),
        ],
        workload,
    )
    assert [row.words.edits if row.words else None for row in rows] == [2, 0, 0]
    assert rows[0].words is not None
    assert rows[0].words.missing_run == ("four", "five")


def test_long_files_and_clips_are_pooled() -> None:
    long = Item(Path("long.wav"), 60.0, "one two three four")
    workload = Workload("mixed", (long, *clips("", 1).items), "one two three four")
    (row,) = rows_of([a_series("a", a_run(1.0, 1.0, "one two three", "one two"))], workload)
    assert row.words is not None
    assert (row.words.words, row.words.edits) == (6, 1)


def test_batches_are_counted_over_all_rounds() -> None:
    phase, retry = "transcriber_engine_phase_seconds_total", "transcriber_window_retries_total"
    counted = {
        "transcriber_batch_rows_count": 2.0,
        "transcriber_batch_rows_sum": 7.0,
        "transcriber_batch_fill_ratio_sum": 1.5,
        "transcriber_batch_wait_seconds_sum": 0.4,
        f"{phase} encode": 6.0,
        f"{phase} decode": 3.0,
        f"{retry} hole": 1.0,
        f"{retry} split": 0.0,
        "transcriber_holes_found_total": 1.0,
        "transcriber_holes_rescued_total": 1.0,
        "decode_cpu_s": 0.5,
        "detect_cpu_s": 0.25,
    }
    runs = [a_run(10.0, counted=counted), a_run(10.0, counted=counted)]
    (row,) = rows_of([a_series("a", *runs, workers=3)], a_workload())
    batches, media = row.batches, row.media_cpu
    assert batches is not None
    assert media is not None
    assert (batches.batches, batches.rows_per_batch, batches.fill, batches.oldest_wait_s) == (4, 3.5, 0.75, 0.2)
    assert batches.busy == {"encode": pytest.approx(0.2), "decode": pytest.approx(0.1)}
    assert (batches.again, batches.holes_found, batches.holes_rescued) == ({"hole": 2}, 2, 2)
    assert (media.decode_s, media.detect_s) == (0.5, 0.25)


def test_one_that_knows_no_batches_has_none() -> None:
    (row,) = rows_of([a_series("a", a_run())], a_workload())
    assert (row.batches, row.media_cpu) == (None, None)


def test_files_are_named_without_their_folders() -> None:
    facts = facts_of(Workload("w", (Item(Path("/home/someone/call.wav"), 3.0, TEXT),)))
    assert [(file.name, file.text_known) for file in facts.files] == [("call.wav", True)]
    assert facts_of(clips("text", 1)).files[0].text_known
    assert not facts_of(a_workload(None)).files[0].text_known
