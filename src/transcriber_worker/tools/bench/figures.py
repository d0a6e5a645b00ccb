"""From runs to rows: medians, ratios, word errors. Pure."""

from collections import Counter
from collections.abc import Collection, Sequence
from functools import reduce
from operator import add
from statistics import median

from transcriber_worker.tools.bench.measuring import Run, Series
from transcriber_worker.tools.bench.own import DECODE_CPU, DETECT_CPU
from transcriber_worker.tools.bench.report import (
    Batches,
    FileFacts,
    GpuFacts,
    MediaCpu,
    Ratio,
    Row,
    Spread,
    Words,
    WorkloadFacts,
)
from transcriber_worker.tools.bench.word_errors import Errors, best_beginning, missing_run, word_errors, words_of
from transcriber_worker.tools.bench.workloads import Workload

HELD_AGAINST = ("pipeline",)


def rows_of(
    all_series: Sequence[Series], workload: Workload, held_against: Collection[str] = HELD_AGAINST
) -> list[Row]:
    """A row for each contender. The first one is the baseline; besides it, all are held against `held_against`."""
    references = [series for n, series in enumerate(all_series) if n == 0 or _name(series) in held_against]
    clips = _clips_reference(all_series, workload)
    return [_row(series, workload, [r for r in references if r.failed is None], clips) for series in all_series]


def facts_of(workload: Workload) -> WorkloadFacts:
    """The workload as the report names it."""
    clips_known = workload.clips_text is not None
    files = (FileFacts(name=i.path.name, audio_s=i.audio_s, text_known=_known(i.text) or (i.clip and clips_known))
             for i in workload.items)  # fmt: skip
    return WorkloadFacts(name=workload.name, audio_s=workload.audio_s, files=tuple(files))


def spread(values: Sequence[float]) -> Spread:
    """Median, least and most of at least one value."""
    return Spread(median=median(values), least=min(values), most=max(values))


def ratio(reference: Sequence[Run], runs: Sequence[Run]) -> Ratio:
    """How many times as fast, round by round, so that a machine that slows down between rounds does not count."""
    pairs = list(zip(reference, runs, strict=True))
    return Ratio(
        wall=spread([theirs.wall_s / ours.wall_s for theirs, ours in pairs]),
        cpu=spread([theirs.cpu_s / ours.cpu_s for theirs, ours in pairs]),
    )


def _row(series: Series, workload: Workload, references: Sequence[Series], clips: str | None) -> Row:
    spec, facts = series.spec, dict(series.facts)
    if series.failed is not None:
        return Row(workload=workload.name, beam_size=spec.beam_size, contender=spec.name, what=spec.what, facts=facts,
                   failed=series.failed)  # fmt: skip
    runs = series.runs
    wall_s = spread([run.wall_s for run in runs])
    last = runs[-1].heard
    return Row(
        workload=workload.name,
        beam_size=spec.beam_size,
        contender=spec.name,
        what=spec.what,
        facts=facts,
        wall_s=wall_s,
        cpu_s=spread([run.cpu_s for run in runs]),
        times_real_time=workload.audio_s / median(run.wall_s for run in runs),
        ratios={_name(reference): ratio(reference.runs, runs) for reference in references},
        peak_bytes=max(run.peak_bytes for run in runs),
        others_share=spread([run.others_share for run in runs]),
        file_done_s=spread(sorted(runs, key=lambda run: run.wall_s)[len(runs) // 2].done_s),
        words=_words(runs, workload, clips),
        timed_words=sum(heard.timed_words for heard in last),
        same_text=len({tuple(heard.text for heard in run.heard) for run in runs}) == 1,
        languages=dict(Counter(heard.language or "?" for heard in last)),
        batches=_batches(runs, int(facts.get("workers", 1))),
        media_cpu=_media_cpu(runs),
        own_cpu_s=spread([run.own_cpu_s for run in runs]),
        tokens_per_audio_s=median(sum(heard.tokens for heard in run.heard) for run in runs) / workload.audio_s,
        gpu=_gpu(runs),
    )


def _words(runs: Sequence[Run], workload: Workload, clips: str | None) -> Words | None:
    per_round = [_pairs(run, workload, clips) for run in runs]
    if not per_round[0]:
        return None
    errors = [reduce(add, (word_errors(text, heard) for text, heard in pairs), Errors(0, 0)) for pairs in per_round]
    gaps = (missing_run(text, heard) for pairs in per_round for text, heard in pairs)
    return Words(
        wer=median(one.rate for one in errors),
        words=errors[0].words,
        edits=round(median(one.edits for one in errors)),
        missing_run=max(gaps, key=len),
    )


def _pairs(run: Run, workload: Workload, clips: str | None) -> list[tuple[str, str]]:
    """Known texts and what was heard of them."""
    pairs = [
        (item.text, heard.text)
        for item, heard in zip(workload.items, run.heard, strict=True)
        if item.text is not None and not item.clip
    ]
    return pairs if clips is None else [*pairs, (clips, _clips_heard(run, workload))]


def _clips_reference(all_series: Sequence[Series], workload: Workload) -> str | None:
    """What is said in all clips: the known text up to where it is most likely that the last clip ends, which is the
    same place for all contenders, whatever they missed."""
    ran = [series.runs[0] for series in all_series if series.failed is None]
    if workload.clips_text is None or not ran:
        return None
    text = workload.clips_text
    ends = sorted(best_beginning(text, _clips_heard(run, workload)) for run in ran)
    return " ".join(words_of(text)[: ends[len(ends) // 2]])


def _clips_heard(run: Run, workload: Workload) -> str:
    return " ".join(heard.text for item, heard in zip(workload.items, run.heard, strict=True) if item.clip)


def _batches(runs: Sequence[Run], workers: int) -> Batches | None:
    total: Counter[str] = Counter()
    for run in runs:
        total.update(run.counted)
    count = total["transcriber_batch_rows_count"]
    if not count:
        return None
    worker_s = workers * sum(run.wall_s for run in runs)
    busy = _labelled(total, "transcriber_engine_phase_seconds_total")
    again = _labelled(total, "transcriber_window_retries_total")
    return Batches(
        batches=round(count),
        rows_per_batch=total["transcriber_batch_rows_sum"] / count,
        fill=total["transcriber_batch_fill_ratio_sum"] / count,
        oldest_wait_s=total["transcriber_batch_wait_seconds_sum"] / count,
        busy={phase: seconds / worker_s for phase, seconds in busy.items()},
        again={how: round(times) for how, times in again.items() if times},
        holes_found=round(total["transcriber_holes_found_total"]),
        holes_rescued=round(total["transcriber_holes_rescued_total"]),
        out_of_memory=round(total["transcriber_accelerator_out_of_memory_total"]),
    )


def _labelled(total: Counter[str], name: str) -> dict[str, float]:
    return {key.removeprefix(f"{name} "): float(value) for key, value in total.items() if key.startswith(f"{name} ")}


def _media_cpu(runs: Sequence[Run]) -> MediaCpu | None:
    if DECODE_CPU not in runs[0].counted:
        return None
    decode_s, detect_s = (median(run.counted[name] for run in runs) for name in (DECODE_CPU, DETECT_CPU))
    return MediaCpu(decode_s=decode_s, detect_s=detect_s)


def _gpu(runs: Sequence[Run]) -> GpuFacts | None:
    seen = [run.gpu for run in runs if run.gpu is not None]
    if not seen:
        return None
    return GpuFacts(
        peak_bytes=max(use.peak_bytes for use in seen),
        busy=_median([use.busy for use in seen if use.busy is not None]),
        busy_within=_median([use.busy_within for use in seen if use.busy_within is not None]),
    )


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _known(text: str | None) -> bool:
    return text is not None


def _name(series: Series) -> str:
    return series.spec.name
