"""What `queue-exporter` tells of a broker's backlog: the figures, or that they are not known; never a zero instead."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from transcriber_worker.observability.declaring import MetricSpec
from transcriber_worker.observability.metrics import BacklogMetrics


@dataclass(frozen=True, slots=True)
class Figures:
    """A backlog, as it was `age_s` ago."""

    waiting: int
    in_flight: int
    dead_letters: int | None
    """None where the broker does not tell."""
    age_s: float

    def as_json(self) -> dict[str, object]:
        """For KEDA, which scales by `backlog`: what a worker has must keep it alive too."""
        return {
            "backlog": self.waiting + self.in_flight,
            "waiting": self.waiting,
            "in_flight": self.in_flight,
            "dead_letters": self.dead_letters,
            "age_s": round(self.age_s, 3),
        }


class BacklogCollector(Collector):
    """The figures as gauges; `figures` gives None while they are not known."""

    def __init__(self, figures: Callable[[], Figures | None]) -> None:
        self._figures = figures

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        figures = self._figures()
        yield _gauge(BacklogMetrics.KNOWN, 0.0 if figures is None else 1.0)
        if figures is not None:
            yield _gauge(BacklogMetrics.WAITING, figures.waiting)
            yield _gauge(BacklogMetrics.IN_FLIGHT, figures.in_flight)
            yield _gauge(BacklogMetrics.AGE, figures.age_s)
            if figures.dead_letters is not None:
                yield _gauge(BacklogMetrics.DEAD_LETTERS, figures.dead_letters)


def _gauge(spec: MetricSpec, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(spec.name, spec.help, value)
