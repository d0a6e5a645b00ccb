"""The closed sets of words that metrics and logs share, so that no label can grow without bound."""

from enum import StrEnum


class WorkerState(StrEnum):
    """What the worker is doing with its intake."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    DRAINING = "draining"
    STOPPED = "stopped"


class Stage(StrEnum):
    """Where a job's time goes, in order. `decode` and `detect` are CPU seconds of the media child; the others are
    wall-clock seconds of the job's own thread, do not overlap and add up to the job's. `admit` waits for room under the
    worker's budgets, `read` for the media child, `transcribe` for the engine."""

    CLAIM = "claim"
    ADMIT = "admit"
    DOWNLOAD = "download"
    OPEN = "open"
    READ = "read"
    DECODE = "decode"
    DETECT = "detect"
    TRANSCRIBE = "transcribe"
    ASSEMBLE = "assemble"
    COMMIT = "commit"
    RENDER = "render"
    FINISH = "finish"
    ANNOUNCE = "announce"
    SETTLE = "settle"


class Ending(StrEnum):
    """How an attempt at a message ended. The first group settles it, the second gives it back, the third keeps it, to
    be looked at again."""

    COMPLETED = "completed"
    ALREADY_DONE = "already_done"
    DEAD_LETTERED = "dead_lettered"
    CANCELLED = "cancelled"
    IGNORED = "ignored"

    RETRIED = "retried"
    HANDED_BACK = "handed_back"
    LEASE_LOST = "lease_lost"

    HELD_ELSEWHERE = "held_elsewhere"
    MUST_RUN_ALONE = "must_run_alone"
    ENVIRONMENT_DOWN = "environment_down"


class ProcessRole(StrEnum):
    """Whose CPU and memory it is."""

    WORKER = "worker"
    MEDIA = "media"


class EnginePhase(StrEnum):
    """A phase of a batch in the engine."""

    FEATURES = "features"
    ENCODE = "encode"
    LANGUAGE = "language"
    DECODE = "decode"
    ALIGN = "align"


class Retry(StrEnum):
    """Why and how a stretch of audio was decoded once more."""

    SPLIT = "split"
    HOLE = "hole"
    TIMESTAMPS = "timestamps"
    TEMPERATURE = "temperature"
    NO_PROMPT = "no_prompt"
    FULL_LENGTH = "full_length"
    LANGUAGE = "language"
    ALONE = "alone"
