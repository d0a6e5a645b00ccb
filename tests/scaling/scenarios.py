"""What happens to the cluster in each recording."""

import wave
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.builders import settings_fields, write_wav
from tests.chaos.deployment import BRIEF, deployed, until
from tests.chaos.oci_stacks import KafkaStack
from tests.chaos.stacks import Stack
from tests.chaos.standing import standing
from tests.chaos.worker_under_test import Plan
from tests.scaling.cluster import COMPRESSION, Cluster
from tests.scaling.exporter import Exporter
from tests.scaling.keda import Autoscaler, Release, ScaledObject
from tests.scaling.recordings import Recording, chart_autoscaling
from transcriber_worker.settings import ExporterSettings, WorkerSettings

SHORT_S, TIMES = 2.0, 36
"""Seconds of audio in a short file, and how often a long one says the same."""
PARTITIONS = 4
EXPORTER = ExporterSettings()
DRAIN_S = WorkerSettings().drain_s


@dataclass(frozen=True, slots=True)
class Scenario:
    """`play` does to the cluster what `about` says. `pace`: seconds that a worker takes for one of audio."""

    name: str
    about: str
    play: Callable[[Cluster], None]
    short: int = 0
    long: int = 0
    pace: float = 1.0
    broker: str = "oci_queue"
    keda: Release = Release.FROM_ZERO_TOO


def burst(cluster: Cluster) -> None:
    for turn in cluster.turns(lambda: cluster.ended() and cluster.autoscaler.replicas == 0, 200):
        if turn == 1:
            cluster.publish("short")


def one_long_file(cluster: Cluster) -> None:
    for turn in cluster.turns(lambda: cluster.ended() and cluster.autoscaler.replicas == 0, 250):
        if turn == 1:
            cluster.publish("long")


def exporter_lost(cluster: Cluster) -> None:
    lost = None
    for turn in cluster.turns(cluster.ended, 250):
        last = cluster.samples[-1] if cluster.samples else None
        if turn == 1:
            cluster.publish("short")
        if (
            lost is None
            and last
            and last.answer
            and last.answer.in_flight == last.workers * cluster.slots > cluster.slots
        ):
            lost = turn
            cluster.exporter.kill()
            cluster.note("exporter killed")
        if lost is not None and turn == lost + 12:
            cluster.exporter.start()
            cluster.note("exporter started again")


def exporter_lost_at_zero(cluster: Cluster) -> None:
    for turn in cluster.turns(cluster.ended, 200):
        if turn == 2:
            cluster.exporter.kill()
            cluster.note("exporter killed")
        if turn == 3:
            cluster.publish("short")
        if turn == 18:
            cluster.exporter.start()
            cluster.note("exporter started again")


def scale_in(cluster: Cluster) -> None:
    for turn in cluster.turns(cluster.ended, 300):
        if turn == 1:
            cluster.publish("long")
            cluster.publish("short")


_LOST = "80 files; the exporter dies while four workers are busy, and is back after three minutes"
SCENARIOS: Mapping[str, Scenario] = {
    one.name: one
    for one in (
        Scenario("burst", "60 files at once, while no worker runs", burst, short=60, pace=5.0),
        Scenario(
            "one-long-file", "one file of 23 minutes' work, while no worker runs", one_long_file, long=1, pace=0.3
        ),
        Scenario("exporter-lost", _LOST, exporter_lost, short=80, pace=5.0),
        Scenario("exporter-lost-old-keda", _LOST, exporter_lost, short=80, pace=5.0, keda=Release.FIRST_ERROR),
        Scenario(
            "exporter-lost-at-zero",
            "the exporter dies while no worker runs, and four files arrive",
            exporter_lost_at_zero,
            short=4,
            pace=10.0,
        ),
        Scenario(
            "scale-in",
            "one file of 23 minutes' work and 31 short ones: when these are done, workers are taken away, each time"
            " the one that has the long file",
            scale_in,
            short=31,
            long=1,
            pace=0.3,
        ),
        Scenario(
            "kafka",
            "one file of 23 minutes' work before 31 short ones, on 4 partitions",
            scale_in,
            short=31,
            long=1,
            pace=0.3,
            broker="kafka",
        ),
    )
}


def record(scenario: Scenario, root: Path) -> Recording:
    """Play it in real time, with real processes."""
    autoscaling = chart_autoscaling()
    with (
        standing(scenario.broker, root, partitions=PARTITIONS) as stack,
        _cluster(scenario, stack, root, autoscaling) as cluster,
    ):
        scenario.play(cluster)
        cluster.finish()
        until(lambda: cluster.deployment.ended(*cluster.jobs), "every job has ended")
        return Recording(
            scenario=scenario.name,
            about=scenario.about,
            broker=scenario.broker,
            compression=COMPRESSION,
            keda=scenario.keda,
            partitions=PARTITIONS if isinstance(stack, KafkaStack) else None,
            autoscaling=autoscaling,
            slots=autoscaling["messagesPerWorker"],
            drain_s=DRAIN_S,
            files=_files(scenario),
            samples=cluster.samples,
            scale_ins=sorted(cluster.scale_ins, key=lambda one: one.at_s),
            outcome=cluster.outcome(),
        )


@contextmanager
def _cluster(scenario: Scenario, stack: Stack, root: Path, autoscaling: Mapping[str, Any]) -> Iterator[Cluster]:
    slots = autoscaling["messagesPerWorker"]
    exporter = Exporter.configured(
        root,
        settings_fields(root, **stack.fields()),
        interval_s=EXPORTER.interval_s / COMPRESSION,
        stale_s=EXPORTER.stale_s / COMPRESSION,
    )
    worker = {"max_jobs_in_flight": slots, "drain_s": DRAIN_S / COMPRESSION}
    with deployed(root, stack, worker=worker, engine={"concurrency": slots}) as deployment:
        cluster = Cluster(
            deployment,
            exporter,
            Autoscaler(ScaledObject.of(autoscaling), scenario.keda),
            Plan(pace=scenario.pace, tiny_wavs=True),
            (lambda: len({left.parent for left in stack.left()})) if isinstance(stack, KafkaStack) else None,
            slots,
        )
        cluster.shelve("long", _long(root / "long.wav"), scenario.long)
        cluster.shelve("short", write_wav(root / "short.wav", SHORT_S), scenario.short)
        exporter.start()
        try:
            until(lambda: exporter.ask()[0] == 200, "the exporter knows the backlog")
            yield cluster
        finally:
            exporter.kill()


def _long(path: Path) -> Path:
    """Five minutes of speech, in windows of half a minute each."""
    with wave.open(str(BRIEF)) as once, wave.open(str(path), "wb") as often:
        often.setparams(once.getparams())
        often.writeframes(once.readframes(once.getnframes()) * TIMES)
    return path


def _files(scenario: Scenario) -> dict[str, float]:
    with wave.open(str(BRIEF)) as brief:
        long_s = TIMES * brief.getnframes() / brief.getframerate()
    seconds = {"short": (scenario.short, SHORT_S), "long": (scenario.long, long_s)}
    return {kind: round(audio_s * scenario.pace * COMPRESSION) for kind, (count, audio_s) in seconds.items() if count}
