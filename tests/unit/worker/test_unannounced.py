"""Results that can't be announced are counted each time, so that an alert can tell a broker that takes none from one
that hiccuped."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from tests.workbench import Workbench
from transcriber_worker.brokers.base import Delivery
from transcriber_worker.observability.labels import Ending
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.worker.report import Report


class Counted:
    """Attempts, and how many failures to announce were counted."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._metrics = Metrics(CollectorRegistry())
        self._report = bench.watcher = Report(bench.broker, self._metrics, bench.clock, progress_events=False)

    def attend(self, delivery: Delivery) -> Ending | None:
        outcome = self._bench.attend(delivery)
        self._report.ended(outcome, delivery)
        return outcome.ending

    @property
    def failures(self) -> float | None:
        return self._metrics.registry.get_sample_value("transcriber_announcement_failures_total")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Workbench]:
    bench = Workbench(tmp_path)
    yield bench
    bench.close()


@contextmanager
def replaced(folder: Path) -> Iterator[None]:
    """A file stands in a folder's place until the block ends."""
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.write_bytes(b"")
    try:
        yield
    finally:
        folder.unlink()
        aside.rename(folder)


def test_each_try_to_announce_in_vain_is_counted_until_it_succeeds(bench: Workbench) -> None:
    counted = Counted(bench)
    bench.submit()
    delivery = bench.delivery()

    with replaced(bench.folder / "spool" / "results"):
        endings = [counted.attend(delivery) for _ in range(2)]

    assert endings == [Ending.ENVIRONMENT_DOWN] * 2
    assert counted.failures == 2
    assert counted.attend(delivery) is Ending.ALREADY_DONE, "nothing is heard twice"
    assert counted.failures == 2
    assert len(bench.results()) == 1


def test_the_announcement_of_a_failure_counts_too(bench: Workbench) -> None:
    counted = Counted(bench)
    bench.broker.publish(b"not JSON", {})

    with replaced(bench.folder / "spool" / "results"):
        assert counted.attend(bench.delivery()) is Ending.ENVIRONMENT_DOWN

    assert counted.failures == 1


def test_another_outage_does_not_count(bench: Workbench) -> None:
    counted = Counted(bench)
    bench.submit()
    (bench.folder / "transcripts").mkdir(exist_ok=True)

    with replaced(bench.folder / "transcripts"):
        assert counted.attend(bench.delivery()) is Ending.ENVIRONMENT_DOWN

    assert counted.failures == 0
