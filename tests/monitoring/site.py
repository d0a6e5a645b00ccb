"""One namespace under watch: real workers and a real exporter on a stack, scraped like pods."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.deployment import BRIEF, Deployment, WorkerProcess, deployed, free_port, probe, until
from tests.chaos.processes import PROJECT, OsProcess, new_interpreter
from tests.chaos.stacks import Stack
from tests.chaos.worker_under_test import Plan
from tests.monitoring.prometheus import Alert, Prometheus
from tests.scaling.exporter import Exporter
from transcriber_worker.domain.job import Job

EXPORTER = "exporter"
NO_PLAN = json.dumps(asdict(Plan()))
FIRED_S = 90.0
JOB = "transcription/calls"


def unreadable(path: Path) -> Path:
    """Written as a recording that no library can read."""
    path.write_bytes(b"RIFF and no sound at all" * 100)
    return path


def as_shipped(arguments: list[str], environment: Mapping[str, str], output: int) -> OsProcess:
    """A worker by its own command, in an interpreter of its own; one with a plan, as the chaos tests have it."""
    config, plan = arguments
    if plan != NO_PLAN:
        return new_interpreter(arguments, environment, output)
    return subprocess.Popen(
        [sys.executable, "-m", "transcriber_worker", "run", "--config", config],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=dict(environment),
    )


@dataclass(slots=True)
class Site:
    """What one release is in a cluster."""

    namespace: str
    prometheus: Prometheus
    deployment: Deployment
    exporter_port: int
    exporter: Exporter | None = None
    expected: set[Alert] = field(default_factory=set)
    """Whatever may have fired."""
    _ports: dict[str, int] = field(default_factory=dict)

    def start(self, plan: Plan | None = None, pod: str = "", *, scraped: bool = True) -> WorkerProcess:
        """A worker in a pod of its own; or started again in the `pod`, as after a crash."""
        name = pod or f"worker-{len(self._ports) + 1}"
        port = self._ports.setdefault(name, free_port())
        worker = self.deployment.start(plan, observability={"http_host": "127.0.0.1", "http_port": port})
        if scraped:
            self.scrape(name)
        return worker

    def scrape(self, pod: str) -> None:
        """A worker's, from now on."""
        self.prometheus.scrape(self.namespace, pod, self._ports[pod], job=JOB, container="worker")

    def metrics(self, pod: str) -> str:
        """What a worker tells; nothing while it does not answer."""
        return probe(self._ports[pod], "/metrics")[1]

    def open(self, plan: Plan | None = None) -> WorkerProcess:
        """A worker and the exporter, both seen to be well."""
        worker = self.start(plan)
        self.start_exporter()
        self.wait_for("transcriber_backlog_known{$} == 1", "the exporter is scraped")
        self.wait_for('transcriber_worker_state{state="running",$} == 1', "the worker is scraped")
        return worker

    def start_exporter(self) -> None:
        """Beside at least one worker, whose configuration it takes."""
        self.exporter = Exporter(self.deployment.root / "worker-1.yaml", self.exporter_port)
        self.exporter.start()
        self.prometheus.scrape(self.namespace, EXPORTER, self.exporter_port, job=JOB, container="exporter")

    def submit(self, count: int, recording: Path = BRIEF, name: str = "file") -> list[Job]:
        return [self.deployment.submit(recording, f"{name}-{number}{recording.suffix}") for number in range(count)]

    def wait_for(self, expression: str, what: str) -> None:
        """Until Prometheus finds the expression true; `$` stands for the label matcher of the namespace."""
        query = self._here(expression)
        until(lambda: self.prometheus.query(query), f"{what} ({query})")

    def value(self, expression: str) -> float:
        """What an expression with one series comes to now; `$` as in `wait_for`."""
        found = self.prometheus.value(self._here(expression))
        assert found is not None, expression
        return found

    def _here(self, expression: str) -> str:
        return expression.replace("$", f'namespace="{self.namespace}"')

    def fires(self, *alerts: Alert) -> None:
        """Wait until exactly these fire, and no other is about to."""
        expected = set(alerts)
        self.expected |= expected

        def settled() -> bool:
            firing = self.prometheus.alerts(self.namespace, "firing")
            return firing == expected and not self.prometheus.alerts(self.namespace, "pending")

        try:
            until(settled, "the alerts fire", FIRED_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.describe()}\nexpected: {sorted(expected)}") from None

    def resolves(self) -> None:
        """Wait until nothing fires any more, nor is about to, and all that has fired was expected."""

        def quiet() -> bool:
            return not any(self.prometheus.alerts(self.namespace, state) for state in ("firing", "pending"))

        try:
            until(quiet, "the alerts resolve", FIRED_S)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.describe()}") from None
        self.check()

    def check(self) -> None:
        """What has fired is what was expected, no more and no less."""
        fired = self.prometheus.ever_fired(self.namespace)
        assert fired == self.expected, f"fired: {sorted(fired)}, expected: {sorted(self.expected)}"

    def describe(self) -> str:
        states = {state: sorted(self.prometheus.alerts(self.namespace, state)) for state in ("firing", "pending")}
        return f"{states}\never fired: {sorted(self.prometheus.ever_fired(self.namespace))}"

    def close(self) -> None:
        self.prometheus.forget(self.namespace)
        if self.exporter is not None:
            self.exporter.kill()


@contextmanager
def under_watch(
    namespace: str, prometheus: Prometheus, root: Path, stack: Stack | None = None, **sections: Mapping[str, Any]
) -> Iterator[Site]:
    """A site without workers and exporter, which `sections` of settings differ for."""
    port = free_port()
    exporter = {"http_host": "127.0.0.1", "http_port": port, "interval_s": 0.2, "stale_s": 1.0}
    with deployed(root, stack, as_shipped, exporter=exporter, **sections) as deployment:
        site = Site(namespace, prometheus, deployment, port)
        try:
            yield site
            site.check()
        finally:
            site.close()
