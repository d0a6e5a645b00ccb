"""Every metric of the worker, declared once with its meaning; docs/metrics.md is generated from this table.

No label names a job, a tenant, a source or a file: the number of series is bounded by the code.
"""

import platform

from prometheus_client import CollectorRegistry

from transcriber_worker import __version__
from transcriber_worker.domain.audio import Notice
from transcriber_worker.domain.errors import PauseReason, Reason
from transcriber_worker.observability.declaring import (
    Label,
    MetricSpec,
    build_all,
    counter,
    declared_in,
    gauge,
    histogram,
    info,
)
from transcriber_worker.observability.labels import Ending, EnginePhase, ProcessRole, Retry, Stage, WorkerState

# Seconds. Stages take milliseconds to an hour; what a publisher waits for takes a second to a day.
STAGE_BUCKETS_S = (0.005, 0.02, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
LONG_BUCKETS_S = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 28_800, 86_400)
ROW_BUCKETS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128)
FILL_BUCKETS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.999, 1)
FACTOR_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)

OUTCOME = Label.of("outcome", Ending)
STAGE = Label.of("stage", Stage)
STATE = Label.of("state", WorkerState)
PAUSE = Label.of("reason", PauseReason)
DEAD_LETTER = Label.of("reason", Reason)
ROLE = Label.of("role", ProcessRole)
PHASE = Label.of("phase", EnginePhase)
RETRY = Label.of("retry", Retry)
IGNORED = Label("reason", "Short code of what was ignored, such as own_output.")
ERROR = Label("error", "Class name of the error.")
CODE = Label.of("code", Notice)
GPU = Label("gpu", "Index of the GPU as NVML counts all that the container was given.")


class Metrics:
    """The worker's metrics, in a registry of their own. Thread-safe, as prometheus_client's metrics are."""

    # Jobs
    jobs_received = counter("transcriber_jobs_received_total", "Deliveries taken from the broker.")
    jobs_finished = counter(
        "transcriber_jobs_finished_total",
        "Attempts at a delivery, by how they ended; held_elsewhere, must_run_alone, environment_down: tried again.",
        OUTCOME,
    )
    jobs_ignored = counter("transcriber_jobs_ignored_total", "Deliveries that ask for no transcript.", IGNORED)
    dead_letters = counter("transcriber_dead_letters_total", "Jobs given up for good, by reason.", DEAD_LETTER)
    attempts = counter("transcriber_attempts_total", "Claims won and work begun, first attempts and later ones.")
    redeliveries = counter(
        "transcriber_redeliveries_total", "Deliveries of a job that some worker had already begun before."
    )
    crash_takeovers = counter(
        "transcriber_crash_takeovers_total", "Jobs taken over from a worker that ended without giving them back."
    )
    retries = counter("transcriber_retries_total", "Jobs given back to be tried again later, by error.", ERROR)
    announcement_failures = counter(
        "transcriber_announcement_failures_total",
        "Attempts that ended because the broker took no result event; they are made again.",
    )
    unexpected_errors = counter(
        "transcriber_unexpected_errors_total",
        "Errors that nobody expected: each one is a bug; its traceback is logged.",
        ERROR,
    )

    # Claims and leases
    claims_lost = counter(
        "transcriber_claims_lost_total", "Jobs dropped here because somebody else had taken them over."
    )
    lease_renewals = counter("transcriber_lease_renewals_total", "Renewals of claims and broker leases that succeeded.")
    lease_renewal_failures = counter(
        "transcriber_lease_renewal_failures_total", "Renewals of claims and broker leases that failed."
    )

    # Brokers and stores
    broker_lag_messages = gauge(
        "transcriber_broker_lag_messages",
        "Kafka: messages of this worker's partitions that are not committed, waiting or being worked on.",
    )
    broker_partitions = gauge("transcriber_broker_partitions", "Kafka: partitions assigned to this worker.")
    broker_rebalances = counter(
        "transcriber_broker_rebalances_total", "Kafka: times partitions were assigned to or taken from this worker."
    )
    broker_commit_failures = counter(
        "transcriber_broker_commit_failures_total", "Kafka: commits that failed; the next one covers them."
    )
    broker_lost_messages = counter(
        "transcriber_broker_lost_messages_total", "Kafka: messages that retention removed before any worker read them."
    )
    broker_republished = counter(
        "transcriber_broker_republished_total",
        "Messages published anew: for a long delay, or before the queue would have taken them away.",
    )
    sources_down = gauge("transcriber_sources_down", "Hosts and buckets of sources that are being waited for.")

    # Time
    stage_seconds = histogram(
        "transcriber_stage_seconds",
        "Seconds a job spent in a stage; decode and detect are CPU seconds of its media child, the others wall clock.",
        STAGE_BUCKETS_S,
        STAGE,
    )
    job_seconds = histogram(
        "transcriber_job_seconds", "Seconds from claim to settlement of a completed job.", LONG_BUCKETS_S
    )
    queue_wait_seconds = histogram(
        "transcriber_queue_wait_seconds",
        "Seconds from publication to the beginning of the attempt, of jobs completed by their first.",
        LONG_BUCKETS_S,
    )
    publish_to_result_seconds = histogram(
        "transcriber_publish_to_result_seconds",
        "Seconds from publication to the announced result of a completed job, retries included.",
        LONG_BUCKETS_S,
    )
    real_time_factor = histogram(
        "transcriber_real_time_factor",
        "Job seconds per second of audio of a completed job; below 1 is faster than real time.",
        FACTOR_BUCKETS,
    )

    # Work done
    audio_seconds = counter("transcriber_audio_seconds_total", "Seconds of audio in completed jobs.")
    speech_seconds = counter("transcriber_speech_seconds_total", "Seconds of speech found in completed jobs.")
    source_bytes = counter("transcriber_source_bytes_total", "Bytes of source files downloaded.")
    words = counter("transcriber_words_total", "Words in committed transcripts.")
    tokens = counter("transcriber_tokens_total", "Text tokens of completed transcripts.")
    segments = counter("transcriber_segments_total", "Segments in committed transcripts.")
    no_speech_jobs = counter("transcriber_no_speech_jobs_total", "Completed jobs in which no speech was found.")
    warnings = counter("transcriber_warnings_total", "Transcripts that carry a warning, by its code.", CODE)

    # In flight
    jobs_in_flight = gauge("transcriber_jobs_in_flight", "Jobs being worked on.")
    audio_seconds_in_flight = gauge(
        "transcriber_audio_seconds_in_flight", "Seconds of audio admitted by the jobs in flight."
    )
    scratch_bytes_in_flight = gauge(
        "transcriber_scratch_bytes_in_flight", "Bytes on scratch admitted by the jobs in flight."
    )
    windows_waiting = gauge("transcriber_windows_waiting", "Windows of audio cut and not yet heard by the engine.")
    deferred_deliveries = gauge(
        "transcriber_deferred_deliveries", "Deliveries kept without a slot, to be looked at again later."
    )
    unfinished_jobs = gauge(
        "transcriber_unfinished_jobs", "Deliveries taken and neither settled nor given back: in flight or deferred."
    )
    oldest_job_age_seconds = gauge(
        "transcriber_oldest_job_age_seconds", "Age of the oldest job in flight since it was begun here; 0 when idle."
    )

    oldest_message_age_seconds = gauge(
        "transcriber_oldest_message_age_seconds",
        "Age since its publication of the oldest message that this worker has; 0 when it has none. Keep it well below "
        "the broker's retention.",
    )

    # The batching engine
    batch_rows = histogram("transcriber_batch_rows", "Rows of a batch.", ROW_BUCKETS)
    batch_fill = histogram(
        "transcriber_batch_fill_ratio", "Rows of a batch by what it might have had at that time.", FILL_BUCKETS
    )
    batch_wait_seconds = histogram(
        "transcriber_batch_wait_seconds", "How long the row of a batch that waited longest did so.", STAGE_BUCKETS_S
    )
    engine_tokens = counter(
        "transcriber_engine_tokens_total",
        "Text tokens decoded, told batch by batch, what was decoded again included: its rate is tokens per second.",
    )
    batch_queue_rows = gauge("transcriber_batch_queue_rows", "Rows waiting for a batch.")
    batch_cap = gauge(
        "transcriber_batch_cap_rows",
        "Most rows a batch may have now; below what was set after the accelerator ran out of memory.",
    )
    out_of_memory = counter(
        "transcriber_accelerator_out_of_memory_total", "Batches that did not fit and were decoded in smaller ones."
    )
    engine_phase_seconds = counter(
        "transcriber_engine_phase_seconds_total", "Seconds of the model workers by phase, summed over workers.", PHASE
    )
    window_retries = counter(
        "transcriber_window_retries_total", "Stretches of audio that were decoded once more, by how and why.", RETRY
    )
    holes_found = counter(
        "transcriber_holes_found_total", "Stretches of clear speech that got no words and were heard by themselves."
    )
    holes_rescued = counter("transcriber_holes_rescued_total", "How many of them got words then.")

    # The worker
    worker_state = gauge("transcriber_worker_state", "1 for the state the worker is in, 0 for the others.", STATE)
    intake_paused = gauge(
        "transcriber_intake_paused", "1 while this part of the environment is down and the intake paused for it.", PAUSE
    )
    intake_pauses = counter("transcriber_intake_pauses_total", "Times the intake was paused, by cause.", PAUSE)
    last_progress_timestamp_seconds = gauge(
        "transcriber_last_progress_timestamp_seconds", "Unix time at which any job last made progress."
    )
    model_load_seconds = gauge("transcriber_model_load_seconds", "Seconds it took to load and warm up the model.")
    build = info(
        "transcriber_build_info",
        "The version that runs.",
        Label("version", "Version of transcriber-worker."),
        Label("python", "Version of Python."),
    )
    model = info(
        "transcriber_model_info",
        "The model that is loaded.",
        Label("engine", "Kind of engine."),
        Label("model", "Name of the model."),
        Label("sha256", "Digest of the model file."),
        Label("device", "cpu or cuda."),
        Label("compute_type", "CTranslate2 compute type."),
    )

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        build_all(self, registry)
        self.build.info({"version": __version__, "python": platform.python_version()})


class BacklogMetrics:
    """What `queue-exporter` tells of the whole queue or topic, by backlog.py."""

    KNOWN = MetricSpec(
        "transcriber_backlog_known",
        "gauge",
        "1 where the broker could be asked of late, else 0 and the other figures of the backlog are absent.",
    )
    WAITING = MetricSpec(
        "transcriber_backlog_waiting_messages",
        "gauge",
        "Messages delivered to no worker; Kafka: the group's lag.",
    )
    IN_FLIGHT = MetricSpec("transcriber_backlog_in_flight_messages", "gauge", "Messages with a worker and not settled.")
    DEAD_LETTERS = MetricSpec(
        "transcriber_backlog_dead_letters",
        "gauge",
        "Messages that the broker itself has put aside; absent where it does not tell.",
    )
    AGE = MetricSpec("transcriber_backlog_age_seconds", "gauge", "How old these figures are.")


class SampledMetrics:
    """Metrics read from the machine when they are scraped, by resources.py."""

    PROCESSES = MetricSpec("transcriber_processes", "gauge", "Processes alive, by role.", (ROLE,))
    CPU_SECONDS = MetricSpec(
        "transcriber_process_cpu_seconds_total",
        "counter",
        "CPU seconds used, user and system; media counts children that have ended too.",
        (ROLE,),
    )
    START_TIME = MetricSpec(
        "transcriber_process_start_time_seconds", "gauge", "Unix time at which the worker's process began."
    )
    RESIDENT_BYTES = MetricSpec(
        "transcriber_process_resident_memory_bytes",
        "gauge",
        "Resident memory, summed over the processes of a role.",
        (ROLE,),
    )
    GPU_UTILISATION = MetricSpec(
        "transcriber_gpu_utilisation_ratio", "gauge", "Share of the last sample during which the GPU was busy.", (GPU,)
    )
    GPU_MEMORY_USED = MetricSpec("transcriber_gpu_memory_used_bytes", "gauge", "GPU memory in use.", (GPU,))
    GPU_MEMORY_TOTAL = MetricSpec("transcriber_gpu_memory_total_bytes", "gauge", "GPU memory there is.", (GPU,))
    GPU_TEMPERATURE = MetricSpec("transcriber_gpu_temperature_celsius", "gauge", "Temperature of the GPU.", (GPU,))
    GPU_POWER = MetricSpec("transcriber_gpu_power_watts", "gauge", "Power the GPU draws.", (GPU,))


ALL_METRICS: tuple[MetricSpec, ...] = (
    *declared_in(Metrics),
    *declared_in(SampledMetrics),
    *declared_in(BacklogMetrics),
)
