#!/usr/bin/env python3
"""Generate the chart's dashboard from the table of panels below.

    scripts/gen-dashboard.py            write helm/transcriber-worker/files/dashboard.json
    scripts/gen-dashboard.py --check    exit 1 where it differs

Rows go from what a user notices to where it comes from. `$namespace` and `$pod` are Grafana's variables.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parent.parent / "helm" / "transcriber-worker" / "files" / "dashboard.json"
WIDTH, HEIGHT = 24, 8
OF = 'namespace="$namespace"'
OF_POD = f'{OF},pod=~"$pod"'


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture: `queries` are pairs of an expression and its legend."""

    title: str
    meaning: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    width: int = 8


def _quantiles(metric: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket{{{OF}}}[$__rate_interval])))", f"p{q * 100:g}")
        for q in (0.5, 0.95, 0.99)
    )


def _rate(metric: str, by: str = "", where: str = OF) -> str:
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (rate({metric}{{{where}}}[$__rate_interval]))"


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Is it well?",
        (
            Panel("Left to do", "Messages waiting and in work, as the exporter tells; none while it can't know.",
                  ((f"sum(transcriber_backlog_waiting_messages{{{OF}}})", "waiting"),
                   (f"sum(transcriber_backlog_in_flight_messages{{{OF}}})", "in work"))),
            Panel("Hours of audio an hour", "Audio in completed jobs per time: the throughput of all workers.",
                  ((_rate("transcriber_audio_seconds_total"), "hours per hour"),)),
            Panel("Publish to result", "What a publisher waits for, retries included.",
                  _quantiles("transcriber_publish_to_result_seconds"), "s"),
            Panel("Oldest message", "Keep it below half of the broker's retention.",
                  ((f"max(transcriber_oldest_message_age_seconds{{{OF}}})", "age"),), "s"),
            Panel("Workers by state", "Draining and paused workers take no work.",
                  ((f"sum by (state) (transcriber_worker_state{{{OF}}})", "{{state}}"),)),
            Panel("Intake paused", "1 while a part of our own environment is down.",
                  ((f"max by (reason) (transcriber_intake_paused{{{OF}}})", "{{reason}}"),)),
        ),
    ),
    (
        "Jobs",
        (
            Panel("Endings", "How attempts at a delivery end, a second.",
                  ((_rate("transcriber_jobs_finished_total", "outcome"), "{{outcome}}"),), "ops"),
            Panel("Dead letters", "Jobs given up, by reason, within each half hour.",
                  ((f"sum by (reason) (increase(transcriber_dead_letters_total{{{OF}}}[30m]))", "{{reason}}"),)),
            Panel("Retries and repeated work", "By error; jobs begun before; results that the broker does not take.",
                  ((_rate("transcriber_retries_total", "error"), "{{error}}"),
                   (_rate("transcriber_redeliveries_total"), "begun before"),
                   (_rate("transcriber_crash_takeovers_total"), "taken over after a crash"),
                   (_rate("transcriber_announcement_failures_total"), "not announced")), "ops"),
            Panel("Where a job's time goes", "Mean seconds of each stage; decode and detect are CPU seconds.",
                  ((f"sum by (stage) (rate(transcriber_stage_seconds_sum{{{OF}}}[$__rate_interval])) / "
                    f"sum by (stage) (rate(transcriber_stage_seconds_count{{{OF}}}[$__rate_interval]))",
                    "{{stage}}"),), "s"),
            Panel("Waiting before work", "From publication to the first attempt.",
                  _quantiles("transcriber_queue_wait_seconds"), "s"),
            Panel("Real-time factor", "Job seconds for a second of audio; below 1 is faster than real time.",
                  _quantiles("transcriber_real_time_factor")),
        ),
    ),
    (
        "Quality",
        (
            Panel("Words a second of speech", "Two to three is talk. A fall to nothing is a broken model.",
                  ((f"{_rate('transcriber_words_total')} / {_rate('transcriber_speech_seconds_total')}", "words"),)),
            Panel("Recordings without speech", "Share of the completed jobs.",
                  ((f"{_rate('transcriber_no_speech_jobs_total')} / "
                    + _rate("transcriber_jobs_finished_total", where=f'outcome="completed",{OF}'),
                    "share"),), "percentunit"),
            Panel("Warnings", "Transcripts that carry a warning, an hour.",
                  ((f"sum by (code) (increase(transcriber_warnings_total{{{OF}}}[1h]))", "{{code}}"),)),
        ),
    ),
    (
        "Engine and GPU",
        (
            Panel("GPU busy", "Share of the time; low with a backlog means that something else is the bottleneck.",
                  ((f"transcriber_gpu_utilisation_ratio{{{OF_POD}}}", "{{pod}} {{gpu}}"),), "percentunit"),
            Panel("GPU memory", "In use, and there is.",
                  ((f"transcriber_gpu_memory_used_bytes{{{OF_POD}}}", "{{pod}} used"),
                   (f"transcriber_gpu_memory_total_bytes{{{OF_POD}}}", "{{pod}} total")), "bytes"),
            Panel("Power", "Watts, and degrees.",
                  ((f"transcriber_gpu_power_watts{{{OF_POD}}}", "{{pod}} W"),
                   (f"transcriber_gpu_temperature_celsius{{{OF_POD}}}", "{{pod}} °C"))),
            Panel("Batches", "Mean fill of a batch, by what it might have had.",
                  ((f"sum(rate(transcriber_batch_fill_ratio_sum{{{OF_POD}}}[$__rate_interval])) / "
                    f"sum(rate(transcriber_batch_fill_ratio_count{{{OF_POD}}}[$__rate_interval]))", "fill"),),
                  "percentunit"),
            Panel("Rows", "Waiting for a batch, and most that one may have now.",
                  ((f"sum by (pod) (transcriber_batch_queue_rows{{{OF_POD}}})", "{{pod}} waiting"),
                   (f"max by (pod) (transcriber_batch_cap_rows{{{OF_POD}}})", "{{pod}} cap"),
                   (f"sum by (pod) (increase(transcriber_accelerator_out_of_memory_total{{{OF_POD}}}[1h]))",
                    "{{pod}} out of memory, 1 h"))),
            Panel("Engine's time", "Seconds of the model workers a second, by phase.",
                  ((_rate("transcriber_engine_phase_seconds_total", "phase", OF_POD), "{{phase}}"),)),
            Panel("Tokens", "Of text, decoded a second by each worker, what was decoded again included.",
                  ((_rate("transcriber_engine_tokens_total", "pod", OF_POD), "{{pod}}"),), "ops"),
            Panel("Retried stretches", "Why audio was decoded once more, a second.",
                  ((_rate("transcriber_window_retries_total", "retry", OF_POD), "{{retry}}"),), "ops"),
            Panel("CPU", "Cores in use: the worker's own, and its readers'.",
                  ((f"sum by (pod, role) (rate(transcriber_process_cpu_seconds_total{{{OF_POD}}}[$__rate_interval]))",
                    "{{pod}} {{role}}"),)),
            Panel("Memory", "Resident, of the worker and of its readers.",
                  ((f"sum by (pod, role) (transcriber_process_resident_memory_bytes{{{OF_POD}}})",
                    "{{pod}} {{role}}"),), "bytes"),
        ),
    ),
    (
        "Broker and leases",
        (
            Panel("Kafka", "Uncommitted messages and partitions of each worker.",
                  ((f"sum by (pod) (transcriber_broker_lag_messages{{{OF_POD}}})", "{{pod}} lag"),
                   (f"sum by (pod) (transcriber_broker_partitions{{{OF_POD}}})", "{{pod}} partitions"))),
            Panel("Rebalances and lost messages", "Within each half hour.",
                  ((f"sum(increase(transcriber_broker_rebalances_total{{{OF}}}[30m]))", "rebalances"),
                   (f"sum(increase(transcriber_broker_commit_failures_total{{{OF}}}[30m]))", "failed commits"),
                   (f"sum(increase(transcriber_broker_lost_messages_total{{{OF}}}[30m]))", "lost by retention"))),
            Panel("Leases", "Renewals that fail, and jobs that were lost to another worker, a second.",
                  ((_rate("transcriber_lease_renewal_failures_total"), "failed renewals"),
                   (_rate("transcriber_claims_lost_total"), "lost claims")), "ops"),
        ),
    ),
)  # fmt: skip


def dashboard() -> dict[str, Any]:
    """As Grafana imports it."""
    return {
        "title": "transcriber-worker",
        "uid": "transcriber-worker",
        "tags": ["transcriber-worker"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": list(_panels(ROWS)),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "type": "datasource", "query": "prometheus"}
    known = {"type": "query", "datasource": _SOURCE, "refresh": 2, "sort": 1}
    query = "label_values(transcriber_build_info, namespace)"
    yield {**known, "name": "namespace", "query": query, "definition": query}
    query = f"label_values(transcriber_build_info{{{OF}}}, pod)"
    every = {"includeAll": True, "multi": True, "current": {"text": "All", "value": "$__all"}}
    yield {**known, **every, "name": "pod", "query": query, "definition": query}


_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def _panels(rows: Sequence[tuple[str, tuple[Panel, ...]]]) -> Iterator[dict[str, Any]]:
    number, y = 0, 0
    for title, panels in rows:
        number += 1
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "panels": [],
               "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}}  # fmt: skip
        y += 1
        x = 0
        for panel in panels:
            if x + panel.width > WIDTH:
                x, y = 0, y + HEIGHT
            number += 1
            yield _panel(panel, number, x, y)
            x += panel.width
        y += HEIGHT


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.meaning,
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for index, (expression, legend) in enumerate(panel.queries)
        ],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Generate the chart's dashboard.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where it differs")
    options = parser.parse_args(arguments)
    wanted = json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"
    if FILE.is_file() and FILE.read_text(encoding="utf-8") == wanted:
        return 0
    if options.check:
        print(f"{FILE.name} differs from its source: run scripts/gen-dashboard.py", file=sys.stderr)
        return 1
    FILE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
