"""What is told of a broker's and a cloud's settings before anything is asked over the network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.builders import make_settings
from transcriber_worker.tools.check_services import service_problems

KAFKA = {"bootstrap_servers": "broker:9092", "topic": "jobs"}
QUEUE = {"queue_id": "ocid1.queue.oc1..a"}


def told(folder: Path, **sections: Mapping[str, Any]) -> dict[str, str]:
    problems = list(service_problems(make_settings(folder, **sections)))
    assert all(problem.remedy for problem in problems)
    return {problem.path: problem.message for problem in problems}


def told_of_kafka(folder: Path, **changes: Any) -> dict[str, str]:
    return told(folder, broker={"kind": "kafka", "kafka": {**KAFKA, **changes}})


def test_complete_settings_have_no_problems(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[DEFAULT]")
    oci = {"auth": "api_key", "config_file": str(tmp_path / "config")}

    assert told(tmp_path) == {}
    assert told_of_kafka(tmp_path) == {}
    assert told(tmp_path, broker={"kind": "oci_queue", "oci_queue": QUEUE}, oci=oci) == {}


def test_what_has_no_default_is_asked_for(tmp_path: Path) -> None:
    assert set(told(tmp_path, broker={"kind": "kafka"})) == {"broker.kafka.bootstrap_servers", "broker.kafka.topic"}
    assert set(told(tmp_path, broker={"kind": "oci_queue"})) == {"broker.oci_queue.queue_id"}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"security_protocol": "sasl_ssl", "password": "env:HOME"}, "username"),
        ({"security_protocol": "sasl_plaintext", "username": "u"}, "password"),
        ({"password": "env:NO_SUCH_VARIABLE"}, "password"),
        ({"key_password": "file:/nonexistent"}, "key_password"),
        ({"ca_file": "/nonexistent"}, "ca_file"),
        ({"certificate_file": "/etc/hostname"}, "key_file"),
        ({"key_file": "/etc/hostname"}, "key_file"),
        ({"session_timeout_s": 30, "max_poll_interval_s": 20}, "max_poll_interval_s"),
        ({"results_topic": "jobs"}, "topic"),
        ({"dead_letter_topic": "jobs"}, "topic"),
        ({"reply_topics": ["a", "jobs"]}, "topic"),
    ],
)
def test_what_can_not_work_with_kafka_is_told_by_path(tmp_path: Path, changes: dict[str, Any], path: str) -> None:
    assert set(told_of_kafka(tmp_path, **changes)) == {f"broker.kafka.{path}"}


def test_a_lease_shorter_than_the_store_can_tell_is_refused(tmp_path: Path) -> None:
    worker, oci = {"lease_s": 2.0}, {"auth": "workload_identity"}

    assert told(tmp_path, worker=worker, oci=oci) == {}
    assert set(told(tmp_path, worker=worker, oci=oci, storage={"output": "oci://out@ns/"})) == {"worker.lease_s"}


def test_a_queue_of_results_is_another_queue(tmp_path: Path) -> None:
    queue = {**QUEUE, "results_queue_id": QUEUE["queue_id"]}

    assert set(told(tmp_path, broker={"kind": "oci_queue", "oci_queue": queue})) == {
        "broker.oci_queue.results_queue_id"
    }


@pytest.mark.parametrize("auth", ["api_key", "session_token"])
@pytest.mark.parametrize(
    "needs_oci", [{"storage": {"output": "oci://out@ns/"}}, {"broker": {"kind": "oci_queue", "oci_queue": QUEUE}}]
)
def test_access_to_oci_is_checked_where_anything_needs_it(tmp_path: Path, auth: str, needs_oci: dict[str, Any]) -> None:
    oci = {"auth": auth, "config_file": str(tmp_path / "none")}

    assert told(tmp_path, oci=oci) == {}
    assert set(told(tmp_path, oci=oci, **needs_oci)) == {"oci.config_file"}
