"""The table of log events: complete, and nothing in it that has no business in logs."""

import re

from transcriber_worker.observability.events import ALL_EVENTS, CONTEXT, ENVELOPE, FIELDS, JOB_FINISHED, STAGE_FIELDS
from transcriber_worker.observability.labels import Stage


def test_events_have_unique_dotted_names_and_a_meaning() -> None:
    names = [event.name for event in ALL_EVENTS]

    assert len(names) == len(set(names))
    for event in ALL_EVENTS:
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", event.name)
        assert event.meaning.endswith((".", ":")), event.name


def test_every_field_of_an_event_has_a_meaning_and_every_meaning_a_user() -> None:
    used = {field for event in ALL_EVENTS for field in event.fields} | {*ENVELOPE, *CONTEXT, "undeclared_fields"}

    assert used == set(FIELDS)


def test_the_line_of_a_finished_job_tells_every_stage() -> None:
    assert len(STAGE_FIELDS) == len(Stage)
    assert set(STAGE_FIELDS) <= set(JOB_FINISHED.fields)
    assert {"outcome", "queue_wait_s", "real_time_factor", "publish_to_result_s"} <= set(JOB_FINISHED.fields)


def test_no_event_has_a_place_for_text_or_a_publishers_own_words() -> None:
    forbidden = {
        "text",
        "transcript",
        "words",
        "segments",
        "attributes",
        "tenant",
        "prompt",
        "hotwords",
        "source",
        "uri",
    }

    assert forbidden.isdisjoint(FIELDS)
