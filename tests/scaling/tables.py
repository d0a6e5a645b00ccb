"""The generated part of docs/scaling.md: what the chart's values make of the recorded answers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.scaling.keda import Decision, Release, ScaledObject
from tests.scaling.recordings import Recording, Sample, metric_of, waiting_only

_MINUTE_S = 60.0
Cell = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Replay:
    """A recording, and what the chart's values of today make of its answers."""

    recording: Recording
    autoscaling: Mapping[str, Any]
    decisions: Sequence[Decision]

    @classmethod
    def of(cls, recording: Recording, autoscaling: Mapping[str, Any]) -> "Replay":
        return cls(recording, autoscaling, list(recording.decisions(autoscaling)))

    def replicas(self, release: Release) -> list[int]:
        """Upon the same answers by another KEDA's rules."""
        return [one.replicas for one in self.recording.decisions(self.autoscaling, release)]


def sections(recordings: Mapping[str, Recording], autoscaling: Mapping[str, Any]) -> Iterator[str]:
    """Markdown, a paragraph or table at a time."""
    yield _values(autoscaling)
    yield from _known(Replay.of(recordings["burst"], autoscaling), "A burst")
    yield from _one_long_file(Replay.of(recordings["one-long-file"], autoscaling))
    yield from _lost(Replay.of(recordings["exporter-lost"], autoscaling), "The exporter is lost while workers are busy")
    yield from _lost(Replay.of(recordings["exporter-lost-at-zero"], autoscaling), "The exporter is lost at zero")
    yield from _known(Replay.of(recordings["scale-in"], autoscaling), "Scale-in")
    yield from _known(Replay.of(recordings["kafka"], autoscaling), "Kafka")
    yield "### What each scale-in cost\n"
    yield _costs(recordings.values())
    yield "### What became of the jobs\n"
    yield _outcomes(recordings.values())


def _values(autoscaling: Mapping[str, Any]) -> str:
    scaled = ScaledObject.of(autoscaling)
    down = scaled.behavior.down
    rows = [
        ("messagesPerWorker", f"{scaled.target:g}"),
        ("minReplicas, maxReplicas", f"{scaled.least}, {scaled.most}"),
        ("pollingInterval, cooldownPeriod", f"{scaled.polling_s:g} s, {scaled.cooldown_s:g} s"),
        ("fallback", ", ".join(f"{name} {value}" for name, value in autoscaling["fallback"].items()) or "none"),
        ("behavior.scaleUp", f"{_policies(scaled.behavior.up.policies)}; window {scaled.behavior.up.window_s:g} s"),
        ("behavior.scaleDown", f"{_policies(down.policies)}; window {down.window_s:g} s"),
    ]
    return _table(("`autoscaling.`", "of the chart"), rows)


def _policies(policies: Iterable[Any]) -> str:
    return ", ".join(f"{one.value} {one.kind} in {one.period_s:g} s" for one in policies)


def _known(replay: Replay, title: str) -> Iterator[str]:
    recording = replay.recording
    yield f"### {title}\n"
    yield f"{_about(replay)}\n"
    columns: dict[str, Cell] = {}
    if recording.broker == "kafka":
        columns["lag"] = lambda at: _answer(recording.samples[at], "backlog")
        columns["partitions with lag"] = lambda at: recording.samples[at].partitions_with_lag
        columns["KEDA's metric"] = lambda at: _number(metric_of(recording, recording.samples[at]))
    else:
        columns |= _backlog(recording)
    yield _timeline(replay, columns)
    yield _picture(replay)


def _one_long_file(replay: Replay) -> Iterator[str]:
    recording = replay.recording
    naive = [one.replicas for one in recording.decisions(replay.autoscaling, metric=waiting_only)]
    yield "### One long file\n"
    yield f"{_about(replay)}\n"
    last = {"desired if only waiting counted": lambda at: naive[at]}
    yield _timeline(replay, _backlog(recording), last, watch=naive)
    yield _ending(replay, naive)


def _ending(replay: Replay, naive: Sequence[int]) -> str:
    recording, samples = replay.recording, replay.recording.samples
    gone = next(
        (one.at_s for one, before, now in zip(samples[1:], naive, naive[1:], strict=False) if before > now == 0), None
    )
    done = max(one.at_s for one in samples if one.answer and one.answer.backlog)
    if gone is None or gone > done:
        return "Counting only what waits would have done no harm here.\n"
    text = f"Counting only what waits, the worker would have been ended at {_clock(gone)}, with the file in work until"
    text += f" {_clock(done)}"
    if max(recording.files.values()) > ScaledObject.of(replay.autoscaling).cooldown_s + recording.drain_s:
        text += ", and so again after each new start: it takes longer than cooldown and drain together"
    return f"{text}.\n"


def _lost(replay: Replay, title: str) -> Iterator[str]:
    yield f"### {title}\n"
    yield f"{_about(replay)}\n"
    others = {release: replay.replicas(release) for release in Release if release is not replay.recording.keda}

    def of(release: Release) -> Cell:
        return lambda at: others[release][at]

    columns = {f"desired, KEDA {release.value}": of(release) for release in others}
    watched = [tuple(numbers[at] for numbers in others.values()) for at in range(len(replay.decisions))]
    yield _timeline(replay, _backlog(replay.recording), columns, watch=watched)


def _about(replay: Replay) -> str:
    recording = replay.recording
    files = " and ".join(f"{seconds:g} s for a {kind} file" for kind, seconds in recording.files.items())
    text = f"{recording.about[0].upper()}{recording.about[1:]}. A worker takes {files}, and has up to {recording.slots}"
    text += f" at once. The workers ran by the rules of KEDA {recording.keda.value}."
    changed = sorted(name for name, value in recording.autoscaling.items() if replay.autoscaling[name] != value)
    if changed:
        text += f" (Recorded while the chart had another {', '.join(changed)}: the workers that ran are those of then.)"
    return text


def _backlog(recording: Recording) -> dict[str, Cell]:
    return {
        "waiting": lambda at: _answer(recording.samples[at], "waiting"),
        "in flight": lambda at: _answer(recording.samples[at], "in_flight"),
    }


def _timeline(
    replay: Replay,
    answers: Mapping[str, Cell],
    after: Mapping[str, Cell] | None = None,
    watch: Sequence[object] | None = None,
) -> str:
    """A row wherever something changes that is more than a number of messages. `watch`: what else must not be missed,
    by sample."""
    samples, decisions = replay.recording.samples, replay.decisions
    further = after or {}
    heads = ("time", "HTTP", *answers, "workers", "desired", *further, "why")
    rows = []
    seen: object = None
    for at, (sample, decision) in enumerate(zip(samples, decisions, strict=True)):
        told = sample.answer
        idle = (told.waiting == 0, told.in_flight == 0) if told else None
        state = (sample.status, decision.replicas, _kind(decision), idle, watch[at] if watch else None)
        if state == seen and not sample.did and at != len(samples) - 1:
            continue
        seen = state
        why = "; ".join(filter(None, (", ".join(sample.did), decision.why)))
        cells = [cell(at) for cell in answers.values()]
        rest = [cell(at) for cell in further.values()]
        rows.append(
            (_clock(sample.at_s), sample.status or "-", *cells, _workers(sample), decision.replicas, *rest, why)
        )
    return _table(heads, rows)


def _kind(decision: Decision) -> str:
    """The reason without its numbers: rows are for another reason, not for another number of messages."""
    return "".join(letter for letter in decision.why if not letter.isdigit())


def _workers(sample: Sample) -> str:
    return f"{sample.workers} (+{sample.stopping} stopping)" if sample.stopping else str(sample.workers)


def _picture(replay: Replay) -> str:
    """What there was to do in workers, and the workers asked for, minute by minute."""
    recording, target = replay.recording, replay.autoscaling["messagesPerWorker"]
    wanted, desired = [], []
    for minute in range(int(recording.samples[-1].at_s / _MINUTE_S) + 1):
        at = min(range(len(recording.samples)), key=lambda one: abs(recording.samples[one].at_s - minute * _MINUTE_S))
        wanted.append(f"{(metric_of(recording, recording.samples[at]) or 0) / target:.1f}")
        desired.append(str(replay.decisions[at].replicas))
    lines = (
        "```mermaid",
        "xychart-beta",
        f'    x-axis "minutes" 0 --> {len(wanted) - 1}',
        '    y-axis "workers: bars asked for by the backlog, line desired"',
        f"    bar [{', '.join(wanted)}]",
        f"    line [{', '.join(desired)}]",
        "```\n",
    )
    return "\n".join(lines)


def _costs(recordings: Iterable[Recording]) -> str:
    heads = (
        "scenario",
        "time",
        "files in work",
        "finished",
        "handed back",
        "worked on before",
        "and after",
        "gone after",
    )
    rows = [
        (
            recording.scenario,
            _clock(one.at_s),
            one.in_flight,
            one.finished,
            one.handed_back,
            f"{one.done_s:.0f} s",
            f"{one.drained_s:.0f} s",
            f"{one.lasted_s:.0f} s",
        )
        for recording in recordings
        for one in recording.scale_ins
        if one.in_flight
    ]
    return _table(heads, rows)


def _outcomes(recordings: Iterable[Recording]) -> str:
    heads = ("scenario", "files", "with one transcript", "told as done once", "dead letters", "attempts", "scale-ins")
    rows = []
    for one in recordings:
        outcome = one.outcome
        whole = (outcome.jobs, outcome.jobs_with_one_transcript, outcome.jobs_with_one_result, outcome.dead_letters)
        rows.append((one.scenario, *whole, outcome.begun, len(one.scale_ins)))
    return _table(heads, rows)


def _answer(sample: Sample, name: str) -> object:
    return "" if sample.answer is None else getattr(sample.answer, name)


def _number(metric: float | None) -> str:
    return "" if metric is None else f"{metric:g}"


def _clock(seconds: float) -> str:
    return f"{round(seconds) // 60}:{round(seconds) % 60:02}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"
