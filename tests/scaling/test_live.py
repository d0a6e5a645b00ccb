"""The recorder at work: the exporter still answers as it did when it was recorded, and the workers obey."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import settings_fields
from tests.chaos.deployment import deployed, until
from tests.chaos.oci_stacks import QueueStack
from tests.oci_emulator.client import emulator
from tests.scaling.cluster import Cluster
from tests.scaling.exporter import Exporter
from tests.scaling.recordings import Recording, all_recordings
from tests.scaling.scenarios import Scenario, record


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[QueueStack]:
    with emulator(tmp_path / "emulator") as emu:
        yield QueueStack(tmp_path, emu)


@pytest.fixture
def exporter(stack: QueueStack, tmp_path: Path) -> Iterator[Exporter]:
    process = Exporter.configured(tmp_path, settings_fields(tmp_path, **stack.fields()), interval_s=0.1, stale_s=1.0)
    process.start()
    yield process
    process.kill()


@pytest.mark.timeout(180)
def test_the_exporter_answers_in_the_recorded_shape(exporter: Exporter, stack: QueueStack, tmp_path: Path) -> None:
    with deployed(tmp_path, stack) as deployment:
        for _ in range(3):
            deployment.publish({"version": 1, "source": "oci://recordings@ns/call.wav"})
        until(lambda: _counts(exporter) == (3, 0, 0), "three are known to wait")
        status, gauges = exporter.scrape()
        recorded = {name for one in all_recordings() if one.broker == stack.name for name in one.samples[0].metrics}
        assert (status, set(gauges)) == (200, recorded)

    stack.emulator.kill()
    until(lambda: exporter.ask() == (503, None), "it says that it does not know")
    assert exporter.scrape() == (200, {"transcriber_backlog_known": 0.0})
    exporter.kill()
    assert (exporter.ask(), exporter.scrape()) == ((0, None), (0, {}))


def _counts(exporter: Exporter) -> tuple[int, int, int | None] | None:
    answer = exporter.ask()[1]
    return (answer.waiting, answer.in_flight, answer.dead_letters) if answer else None


@pytest.mark.timeout(300)
def test_a_recording_is_made_and_replays_alike(tmp_path: Path) -> None:
    def three_files(cluster: Cluster) -> None:
        for turn in cluster.turns(cluster.ended, 200):
            if turn == 1:
                cluster.publish("short")

    recording = record(Scenario("three", "three files", three_files, short=3, pace=0.5), tmp_path)

    assert recording.outcome.jobs_with_one_transcript == 3
    assert max(one.workers for one in recording.samples) == 1
    assert [one.replicas for one in recording.decisions()] == [one.desired for one in recording.samples]
    assert Recording.load(recording.save(tmp_path)) == recording
