"""What a demo is told, and tells, of where things are."""

from pathlib import Path

import pytest

from transcriber_worker.settings import BrokerSettings
from transcriber_worker.tools.demo import environment, results_place

FOLDER = Path("/srv/demo")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROKER__KIND", "STORAGE__OUTPUT", "STORAGE__UPLOADS"):
        monkeypatch.delenv(f"TRANSCRIBER__{name}", raising=False)


def test_a_spool_has_a_place_for_recordings_of_its_own() -> None:
    assert "TRANSCRIBER__STORAGE__UPLOADS" not in environment(FOLDER)


@pytest.mark.parametrize("kind", ["kafka", "oci_queue"])
def test_other_brokers_get_recordings_by_way_of_the_store(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("TRANSCRIBER__BROKER__KIND", kind)
    assert environment(FOLDER)["TRANSCRIBER__STORAGE__UPLOADS"] == "/srv/demo/uploads"


def test_what_is_set_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSCRIBER__BROKER__KIND", "oci_queue")
    monkeypatch.setenv("TRANSCRIBER__STORAGE__UPLOADS", "oci://recordings@ns/")
    monkeypatch.setenv("TRANSCRIBER__STORAGE__OUTPUT", "oci://transcripts@ns/")
    assert not environment(FOLDER).keys() & {"TRANSCRIBER__STORAGE__UPLOADS", "TRANSCRIBER__STORAGE__OUTPUT"}


@pytest.mark.parametrize(
    ("broker", "place"),
    [
        ({"kind": "directory", "directory": {"path": "/srv/spool"}}, "/srv/spool/results"),
        ({"kind": "kafka", "kafka": {"topic": "jobs"}}, "topic jobs-results"),
        ({"kind": "kafka", "kafka": {"topic": "jobs", "results_topic": "answers"}}, "topic answers"),
        ({"kind": "oci_queue", "oci_queue": {"results_queue_id": "ocid1.queue.a"}}, "queue ocid1.queue.a"),
    ],
)
def test_it_is_said_where_the_result_events_go(broker: dict[str, object], place: str) -> None:
    assert results_place(BrokerSettings.model_validate(broker)) == place
