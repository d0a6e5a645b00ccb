"""Every log event, declared once with its level, meaning and fields; the table in docs/metrics.md is generated from it.

A job that goes well writes one line, `job.finished`. No event carries transcript text, a publisher's attributes or a
source's name.
"""

from dataclasses import dataclass
from typing import Literal

from transcriber_worker.observability.labels import Stage

Level = Literal["debug", "info", "warning", "error", "critical"]


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One kind of log line. `fields` are the only keys it may carry besides the envelope and the job's context."""

    name: str
    level: Level
    meaning: str
    fields: tuple[str, ...] = ()


ENVELOPE = ("timestamp", "level", "event", "worker_id")
CONTEXT = ("job_id", "request_id", "attempt", "trace_id")
STAGE_FIELDS = tuple(f"{stage.value}_s" for stage in Stage)

FIELDS: dict[str, str] = {
    "timestamp": "ISO 8601, UTC",
    "level": "debug, info, warning, error or critical",
    "event": "the event's name",
    "worker_id": "who wrote it",
    "job_id": "hash of where the transcript goes",
    "request_id": "the publisher's own id of the request",
    "attempt": "number of the attempt, from 1",
    "trace_id": "W3C trace id that the request came with",
    "exception": "traceback, redacted",
    "version": "of transcriber-worker",
    "pid": "process id",
    "config_file": "YAML file the settings came from",
    "overrides": "environment variables that override it, names only",
    "engine": "kind of engine",
    "model": "name of the model",
    "model_sha256": "digest of the model file",
    "device": "cpu or cuda",
    "compute_type": "CTranslate2 compute type",
    "encoder": "ctranslate2 or torch",
    "batches_at_once": "model workers; on cuda each has a stream of its own",
    "max_batch_windows": "most windows in a batch, after the warm-up",
    "gpu_bytes": "memory of the GPU",
    "weights_bytes": "memory of the weights, torch's copy of the encoder's counted",
    "window_bytes": "memory that a window of a batch takes in work",
    "load_s": "seconds to load and warm up",
    "no_network": "whether media children have no network",
    "system_call_filter": "whether media children may only compute and read what is open",
    "max_jobs_in_flight": "jobs claimed at once",
    "reason": "short code, a metric label",
    "message": "for a human",
    "paused_s": "seconds the intake was paused",
    "signal": "name of the signal",
    "exit_code": "of the process",
    "jobs_in_flight": "jobs being worked on",
    "grace_s": "seconds left for jobs in flight",
    "uptime_s": "seconds since start",
    "outcome": "how the attempt at the delivery ended",
    "queue_wait_s": "seconds from publication to claim",
    "job_s": "seconds from claim to settlement",
    **{f"{stage.value}_s": f"seconds in the {stage.value} stage" for stage in Stage},
    "decode_s": "CPU seconds of decoding",
    "detect_s": "CPU seconds of speech detection",
    "audio_s": "seconds of audio",
    "speech_s": "seconds of speech found",
    "real_time_factor": "job seconds per second of audio; below 1 is faster than real time",
    "publish_to_result_s": "seconds from publication to the announced result",
    "source_bytes": "size of the source",
    "word_count": "words in the transcript",
    "holes_found": "stretches of speech that got no words at first",
    "holes_rescued": "how many of them got words when heard by themselves",
    "warnings": "codes of the transcript's warnings",
    "language": "code of the language heard",
    "stage": "stage of the job",
    "error": "class name of the error",
    "delay_s": "seconds until the next try",
    "failures": "failures of the job so far",
    "crashes": "times the job took its worker down while running alone",
    "percent": "share of the audio that is done",
    "remaining_s": "estimated seconds to go; absent while unknown",
    "done_s": "seconds of audio done",
    "previous_worker": "who held the job before",
    "origin": "where the delivery came from",
    "body_bytes": "size of the message",
    "prefix": "allowed prefix of sources, as the settings name it",
    "down_s": "seconds it was down",
    "messages": "how many messages",
    "path": "directory or file",
    "files": "how many",
    "address": "host and port",
    "stalled_s": "seconds without progress",
    "logger": "the logging package's logger",
    "undeclared_fields": "keys that were left out because the event does not declare them",
}

# The process
CONFIG_LOADED = LogEvent("config.loaded", "info", "The settings were read and are valid.", ("config_file", "overrides"))
WORKER_STARTING = LogEvent("worker.starting", "info", "The process is up and begins to load.", ("version", "pid"))
MODEL_FETCHING = LogEvent("model.fetching", "info", "The model's files are being fetched or verified.", ("message",))
MODEL_LOADED = LogEvent(
    "model.loaded",
    "info",
    "The model is loaded, verified and warm.",
    ("engine", "model", "model_sha256", "device", "compute_type", "load_s"),
)
MEDIA_SANDBOX = LogEvent(
    "media.sandbox",
    "info",
    "The first media child is ready: which of the protections that a kernel may lack hold here (SECURITY.md).",
    ("no_network", "system_call_filter"),
)
ENGINE_PLANNED = LogEvent(
    "engine.planned",
    "info",
    "How the batching engine will work, and what it expects of the memory of a GPU.",
    (
        "encoder",
        "compute_type",
        "batches_at_once",
        "max_batch_windows",
        "gpu_bytes",
        "weights_bytes",
        "window_bytes",
    ),
)
ENCODER_FALLBACK = LogEvent(
    "engine.encoder_fallback",
    "warning",
    "The torch encoder can't be used here, or does not hear what CTranslate2's hears: that one encodes instead.",
    ("message",),
)
WORKER_READY = LogEvent("worker.ready", "info", "The intake is open.", ("max_jobs_in_flight",))
WORKER_PAUSED = LogEvent(
    "worker.paused", "warning", "The intake is closed until the environment is well again.", ("reason", "message")
)
WORKER_RESUMED = LogEvent("worker.resumed", "info", "The intake is open again.", ("paused_s",))
WORKER_DRAINING = LogEvent(
    "worker.draining",
    "info",
    "No new work; jobs that fit the grace are finished, the others handed back.",
    ("signal", "jobs_in_flight", "grace_s"),
)
WORKER_STOPPED = LogEvent(
    "worker.stopped",
    "info",
    "The worker ended in order.",
    ("uptime_s", "jobs_in_flight"),
)
WORKER_BROKEN = LogEvent(
    "worker.broken",
    "critical",
    "The process can't be trusted any more and ends.",
    ("error", "message", "exit_code", "exception"),
)
UNEXPECTED_ERROR = LogEvent(
    "error.unexpected", "error", "An error nobody expected: a bug.", ("error", "stage", "exception")
)

# Jobs
JOB_FINISHED = LogEvent(
    "job.finished",
    "info",
    "A job ended well, now or before (already_done): its one line.",
    (
        "outcome",
        "queue_wait_s",
        "job_s",
        *STAGE_FIELDS,
        "audio_s",
        "speech_s",
        "real_time_factor",
        "publish_to_result_s",
        "source_bytes",
        "word_count",
        "holes_found",
        "holes_rescued",
        "language",
        "warnings",
    ),
)
JOB_PROGRESS = LogEvent(
    "job.progress", "info", "How far a long job is.", ("stage", "percent", "done_s", "audio_s", "remaining_s")
)
JOB_RETRIED = LogEvent(
    "job.retried",
    "warning",
    "Given back, to be tried again later.",
    ("error", "message", "stage", "failures", "delay_s"),
)
JOB_DEAD_LETTERED = LogEvent(
    "job.dead_lettered", "error", "Given up for good.", ("reason", "message", "stage", "failures", "crashes")
)
JOB_IGNORED = LogEvent("job.ignored", "debug", "The delivery asks for no transcript; settled.", ("reason",))
JOB_CANCELLED = LogEvent("job.cancelled", "info", "A user cancelled it; settled.", ("stage",))
JOB_HANDED_BACK = LogEvent("job.handed_back", "info", "Given back untouched because the worker stops.", ("stage",))
JOB_LEASE_LOST = LogEvent(
    "job.lease_lost",
    "warning",
    "Somebody else has the job now; dropped, nothing more is written.",
    ("stage", "message"),
)
JOB_SUSPECT = LogEvent(
    "job.suspect",
    "warning",
    "Its last worker ended without giving it back; it runs alone.",
    ("previous_worker", "crashes"),
)
DELIVERY_INVALID = LogEvent(
    "delivery.invalid",
    "warning",
    "The message is no request; dead-lettered.",
    ("reason", "message", "origin", "body_bytes"),
)

# The surroundings
ENVIRONMENT_DOWN = LogEvent(
    "environment.down", "error", "Something of our own is down; no job is charged.", ("reason", "message", "stage")
)
SOURCE_DOWN = LogEvent(
    "source.down", "warning", "A source's host or bucket is down; its jobs wait, uncharged.", ("prefix", "message")
)
SOURCE_UP = LogEvent("source.up", "info", "A source's host or bucket answers again.", ("prefix", "down_s"))
CREDENTIALS_REFRESH_FAILED = LogEvent(
    "credentials.refresh_failed",
    "warning",
    "A short-lived token could not be replaced ahead of its end; tried again until it ends.",
    ("message",),
)
BACKLOG_UNKNOWN = LogEvent(
    "backlog.unknown", "warning", "queue-exporter can't ask the broker: it goes on trying.", ("reason", "message")
)
BACKLOG_KNOWN = LogEvent("backlog.known", "info", "queue-exporter knows the backlog, for the first time or again.")
HEARTBEAT_FAILED = LogEvent(
    "heartbeat.failed", "warning", "A claim or lease could not be renewed; tried again.", ("error", "message")
)
BROKER_MESSAGES_LOST = LogEvent(
    "broker.messages_lost",
    "error",
    "The broker removed messages before any worker read them; the rest is consumed.",
    ("origin", "messages", "message"),
)
BROKER_ERROR = LogEvent(
    "broker.error",
    "warning",
    "The broker, or its client, met an error and goes on; Kafka's tells the same one at most twice a minute.",
    ("error", "message"),
)
BROKER_PARTITIONS = LogEvent(
    "broker.partitions", "debug", "Kafka: partitions were given to this worker or taken from it.", ("message",)
)
BROKER_TOPIC_REFUSED = LogEvent(
    "broker.topic_refused",
    "warning",
    "The topic that a request's reply_to names can't be written; the event goes to the results topic.",
    ("message",),
)
SCRATCH_CLEANED = LogEvent("scratch.cleaned", "info", "What a dead worker had left was removed.", ("path", "files"))
HEALTH_LISTENING = LogEvent("health.listening", "info", "Probes and metrics are served.", ("address",))
HEALTH_STALLED = LogEvent(
    "health.stalled",
    "error",
    "Jobs are in flight and nothing has moved: /livez fails.",
    ("stalled_s", "jobs_in_flight"),
)
HEALTH_REQUEST_FAILED = LogEvent(
    "health.request_failed", "debug", "A probe or scrape broke off.", ("error", "exception")
)
GPU_METRICS_UNAVAILABLE = LogEvent(
    "gpu.metrics_unavailable", "debug", "NVML can't be read: no GPU metrics.", ("error", "message")
)
VENDOR_MESSAGE = LogEvent(
    "vendor.message", "warning", "A library's own warning or error.", ("logger", "message", "exception")
)
LOG_LOST = LogEvent("log.lost", "error", "A line could not be written.", ("logger", "error"))

ALL_EVENTS: tuple[LogEvent, ...] = tuple(value for value in list(globals().values()) if isinstance(value, LogEvent))
