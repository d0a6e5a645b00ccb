"""A day that goes well, what makes each alert fire after it, and what may happen without any.

A course is told in a word and a number: `rate` by the minute, `level`, `begins` or `flashes` with a value, `restarts`,
`gone`; values() of test_alerts.py writes it as promtool's series."""

from collections.abc import Mapping

HEALTHY: Mapping[str, str] = {
    'transcriber_jobs_finished_total{outcome="completed"}': "rate 1",
    'transcriber_jobs_finished_total{outcome="retried"}': "rate 0.01",
    'transcriber_jobs_finished_total{outcome="dead_lettered"}': "rate 0",
    'transcriber_dead_letters_total{reason="media_unreadable"}': "rate 0",
    "transcriber_attempts_total": "rate 1",
    "transcriber_redeliveries_total": "rate 0.01",
    "transcriber_crash_takeovers_total": "rate 0",
    "transcriber_no_speech_jobs_total": "rate 0.02",
    "transcriber_words_total": "rate 120",
    "transcriber_speech_seconds_total": "rate 50",
    "transcriber_announcement_failures_total": "rate 0",
    "transcriber_lease_renewals_total": "rate 3",
    "transcriber_lease_renewal_failures_total": "rate 0.01",
    "transcriber_broker_rebalances_total": "rate 0",
    "transcriber_broker_lost_messages_total": "rate 0",
    "transcriber_last_progress_timestamp_seconds": "rate 60",
    "transcriber_oldest_message_age_seconds": "level 100",
    "transcriber_backlog_known": "level 1",
    "transcriber_backlog_waiting_messages": "level 3",
    "transcriber_backlog_in_flight_messages": "level 2",
    "transcriber_backlog_dead_letters": "level 0",
    "transcriber_jobs_in_flight": "level 2",
    "transcriber_sources_down": "level 0",
    'transcriber_intake_paused{reason="broker"}': "level 0",
    'transcriber_intake_paused{reason="credentials"}': "level 0",
    'transcriber_gpu_utilisation_ratio{gpu="0"}': "level 0.8",
    "transcriber_batch_cap_rows": "level 16",
    "transcriber_process_start_time_seconds": "level 1000",
}

Scenario = tuple[str, Mapping[str, str], Mapping[str, str]]
"""The alert that fires, what changes after the good day, further labels of the alert."""

SCENARIOS: list[Scenario] = [
    ("TranscriberBacklogTooOld", {"transcriber_oldest_message_age_seconds": "level 43300"}, {}),
    ("TranscriberNoProgress", {"transcriber_last_progress_timestamp_seconds": "rate 0"}, {}),
    ("TranscriberNoProgress", {"transcriber_last_progress_timestamp_seconds": "gone"}, {}),  # not one worker is there
    ("TranscriberBacklogUnknown", {"transcriber_backlog_known": "level 0"}, {}),
    (
        "TranscriberBacklogUnknown",  # the broker is down as a whole: not a matter of results
        {"transcriber_backlog_known": "level 0", "transcriber_announcement_failures_total": "rate 0.8"},
        {},
    ),
    ("TranscriberBacklogUnknown", {"transcriber_backlog_known": "gone"}, {}),  # the exporter is not there
    ("TranscriberMessagesLost", {"transcriber_broker_lost_messages_total": "rate 1"}, {}),
    ("TranscriberMessagesLost", {'transcriber_broker_lost_messages_total{instance="new"}': "begins 7"}, {}),
    ("TranscriberFailureRate", {'transcriber_jobs_finished_total{outcome="retried"}': "rate 0.5"}, {}),
    ("TranscriberFailureRate", {'transcriber_jobs_finished_total{outcome="dead_lettered"}': "rate 0.5"}, {}),
    (
        "TranscriberDeadLetters",
        {'transcriber_dead_letters_total{reason="media_unreadable"}': "rate 0.1"},
        {"reason": "media_unreadable"},
    ),
    (
        "TranscriberDeadLetters",  # before the worker was scraped first
        {'transcriber_dead_letters_total{instance="new",reason="media_unreadable"}': "begins 1"},
        {"reason": "media_unreadable"},
    ),
    (
        "TranscriberDeadLetters",  # of a worker that is gone already
        {'transcriber_dead_letters_total{instance="new",reason="media_unreadable"}': "flashes 1"},
        {"reason": "media_unreadable"},
    ),
    ("TranscriberQueueTookMessagesAway", {"transcriber_backlog_dead_letters": "rate 0.1"}, {}),
    ("TranscriberRepeatedWork", {"transcriber_redeliveries_total": "rate 0.5"}, {}),
    (
        "TranscriberUnexpectedErrors",
        {'transcriber_unexpected_errors_total{error="KeyError"}': "rate 0.1"},
        {"error": "KeyError"},
    ),
    (
        "TranscriberUnexpectedErrors",  # it ended the worker
        {'transcriber_unexpected_errors_total{error="KeyError"}': "flashes 1"},
        {"error": "KeyError"},
    ),
    ("TranscriberNoSpeechJump", {"transcriber_no_speech_jobs_total": "rate 0.6"}, {}),
    ("TranscriberFewWords", {"transcriber_words_total": "rate 1"}, {}),
    ("TranscriberResultsUnannounced", {"transcriber_announcement_failures_total": "rate 0.8"}, {}),
    (
        "TranscriberIntakePaused",
        {'transcriber_intake_paused{reason="credentials"}': "level 1"},
        {"reason": "credentials"},
    ),
    (
        "TranscriberIntakePaused",  # and nothing more, though what it has in work can't be renewed
        {
            'transcriber_intake_paused{reason="broker"}': "level 1",
            "transcriber_lease_renewal_failures_total": "rate 1",
        },
        {"reason": "broker"},
    ),
    ("TranscriberSourcesDown", {"transcriber_sources_down": "level 2"}, {}),
    ("TranscriberLeaseRenewalFailures", {"transcriber_lease_renewal_failures_total": "rate 1"}, {}),
    ("TranscriberRebalances", {"transcriber_broker_rebalances_total": "rate 0.5"}, {}),
    ("TranscriberGpuIdle", {'transcriber_gpu_utilisation_ratio{gpu="0"}': "level 0.05"}, {}),
    ("TranscriberBatchCapShrunk", {"transcriber_batch_cap_rows": "level 8"}, {"pod": "a"}),
    ("TranscriberRestarts", {"transcriber_process_start_time_seconds": "restarts"}, {"pod": "a"}),
    ("TranscriberRestarts", {"transcriber_crash_takeovers_total": "rate 0.1"}, {}),
]
QUIET: dict[str, Mapping[str, str]] = {
    "a day like any other": {},
    "no work at night": {
        **{name: "rate 0" for name, values in HEALTHY.items() if values.startswith("rate")},
        "transcriber_backlog_waiting_messages": "level 0",
        "transcriber_backlog_in_flight_messages": "level 0",
        "transcriber_jobs_in_flight": "level 0",
        'transcriber_gpu_utilisation_ratio{gpu="0"}': "level 0",
    },
    "scaled to zero, and nothing left to do": {
        **dict.fromkeys((name for name in HEALTHY if "backlog" not in name), "gone"),
        "transcriber_backlog_waiting_messages": "level 0",
        "transcriber_backlog_in_flight_messages": "level 0",
    },
    "a message older than a job takes, younger than half of the retention": {
        "transcriber_oldest_message_age_seconds": "level 43100"
    },
    "a trickle on Kafka, whose lag counts what is in work": {
        "transcriber_jobs_in_flight": "level 3",
        'transcriber_gpu_utilisation_ratio{gpu="0"}': "level 0.05",
    },
    "a single failure": {'transcriber_jobs_finished_total{outcome="retried"}': "rate 0.03"},
    "a worker's first start": {'transcriber_process_start_time_seconds{instance="new"}': "begins 5000"},
    "a result that was announced at the second try": {
        'transcriber_announcement_failures_total{instance="new"}': "begins 1"
    },
}
