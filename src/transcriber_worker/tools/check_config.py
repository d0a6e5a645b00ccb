"""`check-config`: every problem of a configuration at once, each with where it is and what to do, and the proof that
its limits fit the machine."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml
from pydantic import ValidationError

from transcriber_worker.domain.audio import SAMPLE_RATE_HZ
from transcriber_worker.domain.uri import InvalidUri, ObjectUri
from transcriber_worker.inference.model_catalogue import CATALOGUE
from transcriber_worker.pipeline.places import prefix
from transcriber_worker.settings import ENV_PREFIX, MIB, Settings

AVAILABLE_SCHEMES = ("file",)
FAKE_MODEL = "fake"
_WORKER_BYTES = 400 * MIB
"""Interpreter and libraries, measured at 330 MiB."""
_WORKING_SET_BYTES = 500 * MIB
"""What one transcription of a small model needs beside the weights; measured."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: the setting's path, what is wrong with it, and the remedy."""

    path: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}\n    -> {self.remedy}"


@dataclass(frozen=True, slots=True)
class Machine:
    """What the container or the computer has."""

    memory_bytes: int
    cores: int

    @classmethod
    def this(cls) -> "Machine":
        """As far as cgroups limit it."""
        limits = [psutil.virtual_memory().total]
        for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
            try:
                limits.append(int(Path(path).read_text()))
            except (OSError, ValueError):
                continue  # no such limit here
        return cls(min(limits), len(os.sched_getaffinity(0)))


def load(file: Path | None) -> Settings | list[Problem]:
    """Read the settings; or everything that is wrong with their form."""
    if file is not None and not file.is_file():
        return [Problem("--config", f"there is no file {file}", "name a YAML file, or leave the option out")]
    try:
        return Settings.load(file)
    except ValidationError as error:
        return [_form_problem(dict(entry)) for entry in error.errors(include_url=False, include_input=False)]
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        at = f" in line {where.line + 1}" if where else ""
        return [Problem(str(file), f"not YAML{at}", "mend the indentation or the quotes there")]
    except (TypeError, ValueError) as error:
        return [Problem(str(file), str(error).splitlines()[0], "the file must hold a mapping of sections to settings")]


def problems(settings: Settings, machine: Machine) -> list[Problem]:
    """Everything that is wrong with settings of the right form, on this machine."""
    return [
        *_places(settings),
        *_directories(settings),
        *_model(settings),
        *_limits(settings),
        *_memory(settings, machine),
    ]


def needed_bytes(settings: Settings, jobs: int, processes: int) -> int:
    """Memory the worker may need in all: its own, the model, the media children, windows on their way, and scratch
    where that is memory too."""
    model = CATALOGUE.get(settings.model.name)
    model_bytes = (model.size_bytes if model else 0) + settings.engine.concurrency * _WORKING_SET_BYTES
    window_bytes = int(settings.engine.slab_s * SAMPLE_RATE_HZ * 2)
    windows = jobs * (settings.media.windows_ahead + 1) * window_bytes
    scratch = settings.worker.max_scratch_bytes if _is_memory(settings.worker.scratch_dir) else 0
    return _WORKER_BYTES + model_bytes + processes * settings.media.memory_limit_bytes + windows + scratch


def jobs_in_flight(settings: Settings) -> int:
    """Jobs claimed at once: what the engine works on, and by default two more on their way to it."""
    chosen = settings.worker.max_jobs_in_flight
    return settings.engine.concurrency + 2 if chosen == "auto" else chosen


def media_processes(settings: Settings, machine: Machine) -> int:
    """Media children alive at once: one a job, as far as the memory goes."""
    jobs = jobs_in_flight(settings)
    if settings.media.processes != "auto":
        return min(jobs, settings.media.processes)
    spare = machine.memory_bytes - needed_bytes(settings, jobs, 0)
    return max(1, min(jobs, spare // settings.media.memory_limit_bytes))


def _form_problem(entry: dict[str, object]) -> Problem:
    location = entry["loc"]
    path = ".".join(str(part) for part in location) if isinstance(location, tuple) else str(location)
    message = str(entry["msg"])
    if entry["type"] == "extra_forbidden":
        return Problem(path, "unknown setting", f"remove it, or see {_nearby(path)}")
    variable = ENV_PREFIX + path.upper().replace(".", "__")
    return Problem(path, message, f"mend it in the file or in the environment ({variable}); docs/configuration.md")


def _nearby(path: str) -> str:
    """The settings there are where an unknown one was given."""
    section: object = Settings
    for part in path.split(".")[:-1]:
        fields = getattr(section, "model_fields", {})
        section = fields[part].annotation if part in fields else None
    known = ", ".join(getattr(section, "model_fields", {}))
    return f"the settings there are: {known}" if known else "docs/configuration.md"


def _places(settings: Settings) -> Iterator[Problem]:
    storage = settings.storage
    named = [("storage.output", storage.output)]
    named += [("storage.state", storage.state)] if storage.state else []
    named += [(f"storage.allowed_sources.{n}", text) for n, text in enumerate(storage.allowed_sources)]
    named += [(f"storage.allowed_outputs.{n}", text) for n, text in enumerate(storage.allowed_outputs)]
    for path, text in named:
        try:
            uri = prefix(text)
        except InvalidUri as error:
            yield Problem(path, str(error), "write a directory or a URI")
            continue
        if uri.scheme not in AVAILABLE_SCHEMES:
            schemes = ", ".join(f"{scheme}://" for scheme in AVAILABLE_SCHEMES)
            yield Problem(path, f"this version has no store for {uri.scheme}://", f"use one of {schemes}")


def _directories(settings: Settings) -> Iterator[Problem]:
    wanted = {
        "broker.directory.path": settings.broker.directory.path,
        "worker.scratch_dir": settings.worker.scratch_dir,
    }
    for path, text in (("storage.output", settings.storage.output), ("storage.state", settings.storage.state)):
        uri = _file_prefix(text)
        if uri is not None:
            wanted[path] = uri.path
    for path, directory in wanted.items():
        there = _nearest(directory)
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            yield Problem(path, f"{there} can't be written to", "make it writable for the worker, or name another one")
    scratch = _nearest(settings.worker.scratch_dir)
    free = shutil.disk_usage(scratch).free
    if settings.storage.max_source_bytes > free:
        message = f"a source of storage.max_source_bytes does not fit: {free} bytes are free on {scratch}"
        yield Problem("worker.scratch_dir", message, "lower storage.max_source_bytes, or use a larger volume")


def _model(settings: Settings) -> Iterator[Problem]:
    model = settings.model
    if model.name == FAKE_MODEL or model.name in CATALOGUE:
        return
    if not Path(model.name).is_dir():
        known = ", ".join(CATALOGUE)
        yield Problem(
            "model.name", f"neither a known model nor a directory: {model.name}", f"one of {known}, or a path"
        )
    elif model.sha256 is None:
        remedy = f"set it to the output of: sha256sum {model.name}/model.bin"
        yield Problem("model.sha256", "a model in a directory is only used with its digest", remedy)


def _limits(settings: Settings) -> Iterator[Problem]:
    worker, media = settings.worker, settings.media
    if worker.backoff_s > worker.max_backoff_s:
        yield Problem("worker.backoff_s", "greater than worker.max_backoff_s", "lower it, or raise the other")
    if isinstance(worker.max_jobs_in_flight, int) and worker.max_jobs_in_flight < settings.engine.concurrency:
        message = f"fewer jobs than engine.concurrency ({settings.engine.concurrency}) leave the engine idle"
        yield Problem("worker.max_jobs_in_flight", message, "raise it, or set it to auto")
    if isinstance(media.processes, int) and media.processes < settings.engine.concurrency:
        message = f"fewer readers than engine.concurrency ({settings.engine.concurrency}) leave the engine idle"
        yield Problem("media.processes", message, "raise it, or set it to auto")
    if settings.observability.stall_s <= media.window_timeout_s:
        message = (
            f"/livez would fail before a slow file is given up (media.window_timeout_s = {media.window_timeout_s})"
        )
        yield Problem("observability.stall_s", message, "raise it above media.window_timeout_s")


def _memory(settings: Settings, machine: Machine) -> Iterator[Problem]:
    jobs, processes = jobs_in_flight(settings), media_processes(settings, machine)
    needed = needed_bytes(settings, jobs, processes)
    if needed > machine.memory_bytes:
        message = (
            f"{processes} reader processes, {jobs} jobs and the model may need {needed // MIB} MiB, "
            f"and there are {machine.memory_bytes // MIB} MiB"
        )
        remedy = "lower it or engine.concurrency, engine.slab_s, a scratch in memory; or give the container more"
        yield Problem("media.memory_limit_bytes", message, remedy)


def _file_prefix(text: str | None) -> ObjectUri | None:
    try:
        uri = prefix(text) if text else None
    except InvalidUri:
        return None  # told by `_places`
    return uri if uri is not None and uri.scheme == "file" else None


def _nearest(directory: Path) -> Path:
    """The directory itself, or the nearest one above it that exists."""
    directory = directory.expanduser().absolute()
    while not directory.exists():
        directory = directory.parent
    return directory


def _is_memory(directory: Path) -> bool:
    """Whether a directory lies on a file system that is memory."""
    directory = _nearest(directory)
    mounts = [part for part in psutil.disk_partitions(all=True) if directory.is_relative_to(part.mountpoint)]
    return bool(mounts) and max(mounts, key=lambda part: len(part.mountpoint)).fstype == "tmpfs"
