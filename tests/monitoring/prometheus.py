"""A real Prometheus server, scraping what it is told to, with rules of ours."""

import json
import signal
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.chaos.processes import free_port, probe, until

_STARTED_S = 60.0
_STOPPED_S = 30.0


@dataclass(frozen=True, slots=True, order=True)
class Alert:
    """One that is active, with the labels that tell it from others of its name."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, name: str, **labels: str) -> "Alert":
        return cls(name, tuple(sorted(labels.items())))


_COMMON = frozenset({"alertname", "alertstate", "namespace", "severity", "__name__"})


def _alert(labels: Mapping[str, str]) -> Alert:
    return Alert.of(labels["alertname"], **{name: value for name, value in labels.items() if name not in _COMMON})


@dataclass(slots=True)
class Prometheus:
    """The server's API; and its targets, which may come and go by namespace."""

    port: int
    targets: Path
    _labels: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def scrape(self, namespace: str, pod: str, port: int, **labels: str) -> None:
        """From now on, as the PodMonitor would have it."""
        target = {"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": namespace, "pod": pod, **labels}}
        self._labels.setdefault(namespace, []).append(target)
        self._write(namespace)

    def forget(self, namespace: str) -> None:
        """All pods of the namespace are deleted."""
        self._labels[namespace] = []
        self._write(namespace)

    def alerts(self, namespace: str, state: str) -> set[Alert]:
        """Those `firing` or `pending` now."""
        active = self._get("alerts")["alerts"]
        return {
            _alert(one["labels"]) for one in active
            if one["state"] == state and one["labels"].get("namespace") == namespace
        }  # fmt: skip

    def ever_fired(self, namespace: str) -> set[Alert]:
        """Those that fired at any time."""
        series = self.query(f'last_over_time(ALERTS{{alertstate="firing",namespace="{namespace}"}}[1h])')
        return {_alert(one["metric"]) for one in series}

    def query(self, expression: str) -> list[dict[str, Any]]:
        """An instant query's vector."""
        result: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return result

    def value(self, expression: str) -> float | None:
        """Of a query with at most one series."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def problems(self) -> list[str]:
        """Rules that can't be evaluated."""
        groups = self._get("rules")["groups"]
        return [f"{rule['name']}: {rule['lastError']}" for group in groups for rule in group["rules"]
                if rule["health"] == "err"]  # fmt: skip

    def _get(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}") as answer:
            body = json.load(answer)
        assert body["status"] == "success", body
        return body["data"]

    def _write(self, namespace: str) -> None:
        file = self.targets / f"{namespace}.json"
        writing = file.with_suffix(".writing")
        writing.write_text(json.dumps(self._labels[namespace]))
        writing.rename(file)  # as a whole: Prometheus reads it at once


def _configure(folder: Path, targets: Path, groups: Sequence[Mapping[str, Any]], interval_ms: int) -> None:
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": list(groups)}))
    every = f"{interval_ms}ms"
    discovery = {"files": [str(targets / "*.json")]}
    config = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": [str(folder / "rules.yaml")],
        "scrape_configs": [{"job_name": "pods", "file_sd_configs": [discovery]}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))


@contextmanager
def serving(
    program: str, folder: Path, groups: Sequence[Mapping[str, Any]], interval_ms: int, lookback_ms: int
) -> Iterator[Prometheus]:
    """A server with those rule groups, which scrapes and evaluates every `interval_ms`. A series that was not scraped
    for `lookback_ms` is gone."""
    targets = folder / "targets"
    targets.mkdir(parents=True, exist_ok=True)
    _configure(folder, targets, groups, interval_ms)
    port = free_port()
    command = [
        program,
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--query.lookback-delta={lookback_ms}ms",
        "--log.level=warn",
    ]
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        until(
            lambda: process.poll() is not None or probe(port, "/-/ready")[0] == 200, "Prometheus is ready", _STARTED_S
        )
        assert process.poll() is None, log.read_text()
        yield Prometheus(port, targets)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOPPED_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
