"""`check-config`: every problem of a configuration at once, each with where it is and what to do, and the proof that
its limits fit the machine."""

import difflib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic import ValidationError

from transcriber_worker.domain.uri import InvalidUri, ObjectUri
from transcriber_worker.inference.model_catalogue import CATALOGUE
from transcriber_worker.pipeline.places import prefix
from transcriber_worker.settings import (
    ENV_PREFIX,
    MIB,
    BrokerKind,
    EncoderKind,
    EngineKind,
    ModelSettings,
    Settings,
    StorageSettings,
)
from transcriber_worker.tools.check_services import service_problems
from transcriber_worker.tools.limits import (
    Machine,
    engine_plan,
    jobs_in_flight,
    media_processes,
    nearest,
    needed_bytes,
    on_gpu,
)
from transcriber_worker.tools.problem import Problem

_SOURCE_SCHEMES = ("oci", "https", "file")
_OUTPUT_SCHEMES = ("oci", "file")
_SLOWEST = 4.0
"""A machine that takes longer than this many seconds for a second of audio is no use to anybody."""
FAKE_MODEL = "fake"
_WRITABLE = "make it writable for the worker, or name another one"


def load(file: Path | None) -> Settings | list[Problem]:
    """Read the settings; or everything that is wrong with their form."""
    if file is not None and not file.is_file():
        return [Problem("--config", f"there is no file {file}", "name a YAML file, or leave the option out")]
    try:
        return Settings.load(file)
    except ValidationError as error:
        return _form_problems(error)
    except yaml.YAMLError as error:
        where, what = getattr(error, "problem_mark", None), getattr(error, "problem", None) or "can't be read"
        at = f" in line {where.line + 1}" if where else ""
        return [Problem(str(file), f"not YAML{at}: {what}", "mend the indentation, the quotes or the key there")]
    except (OSError, TypeError, UnicodeDecodeError) as error:
        remedy = "the file must be readable, and hold a mapping of sections to settings, as UTF-8"
        return [Problem(str(file), str(error).splitlines()[0], remedy)]


def problems(settings: Settings, machine: Machine) -> list[Problem]:
    """Everything that is wrong with settings of the right form, on this machine."""
    return [
        *place_problems(settings),
        *_directories(settings),
        *_overlaps(settings),
        *_inbox(settings),
        *_model(settings),
        *_encoder(settings),
        *_limits(settings, machine),
        *_memory(settings, machine),
    ]


def _form_problems(error: ValidationError) -> list[Problem]:
    """One problem a setting: of a setting that may be one thing or another, pydantic tells about each by itself."""
    found: dict[str, tuple[str, list[str]]] = {}
    for entry in error.errors(include_url=False, include_input=False):
        found.setdefault(_path(entry["loc"]), (entry["type"], []))[1].append(entry["msg"])
    return [_form_problem(path, kind, ", or: ".join(messages)) for path, (kind, messages) in found.items()]


def _path(location: tuple[int | str, ...]) -> str:
    """The setting's path, and the position in its list, without the names that pydantic has for alternatives."""
    parts: list[str] = []
    section: object = Settings
    for part in location:
        fields = getattr(section, "model_fields", None)
        if fields is not None or isinstance(part, int):
            parts.append(str(part))
        section = fields[part].annotation if fields and part in fields else None
    return ".".join(parts)


def _form_problem(path: str, kind: str, message: str) -> Problem:
    variable = ENV_PREFIX + path.upper().replace(".", "__")
    if kind == "extra_forbidden":
        return Problem(path, "unknown setting", f"in the file, or {variable} in the environment: {_nearby(path)}")
    if kind == "model_type":
        return Problem(path, "not a section", "write its settings below it, or leave the section out")
    if kind == "tuple_type":
        return Problem(path, "not a list", f'write a list; in the environment as JSON: {variable}=\'["a", "b"]\'')
    return Problem(path, message, f"mend it in the file or in the environment ({variable}); docs/configuration.md")


def _nearby(path: str) -> str:
    """The settings there are where an unknown one was given."""
    section: object = Settings
    for part in path.split(".")[:-1]:
        fields = getattr(section, "model_fields", {})
        section = fields[part].annotation if part in fields else None
    known = list(getattr(section, "model_fields", {}))
    close = difflib.get_close_matches(path.split(".")[-1], known, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{meant}The settings there are: {', '.join(known)}" if known else "see docs/configuration.md"


def place_problems(settings: Settings) -> list[Problem]:
    """What is wrong with the places that every command works with."""
    return [*_places(settings), *service_problems(settings)]


def _places(settings: Settings) -> Iterator[Problem]:
    storage = settings.storage
    outputs = list(_places_written(storage).items())
    outputs += [(f"storage.allowed_outputs.{n}", text) for n, text in enumerate(storage.allowed_outputs)]
    sources = [(f"storage.allowed_sources.{n}", text) for n, text in enumerate(storage.allowed_sources)]
    named: list[tuple[str, str, tuple[str, ...]]] = [(path, text, _OUTPUT_SCHEMES) for path, text in outputs]
    named += [(path, text, _SOURCE_SCHEMES) for path, text in sources]
    for path, text, known in named:
        try:
            uri = prefix(text)
        except InvalidUri as error:
            yield Problem(path, str(error), "write a directory or a URI")
            continue
        if uri.scheme not in known:
            schemes = ", ".join(f"{scheme}://" for scheme in known)
            yield Problem(path, f"nothing can be written to {uri.scheme}://", f"use one of {schemes}")


def _directories(settings: Settings) -> Iterator[Problem]:
    for path, directory in _written(settings).items():
        if not _writable(directory):
            yield Problem(path, f"{nearest(directory)} can't be written to", _WRITABLE)
    scratch = nearest(settings.worker.scratch_dir)
    free = shutil.disk_usage(scratch).free
    if settings.storage.max_source_bytes > free:
        message = f"a source of storage.max_source_bytes does not fit: {free} bytes are free on {scratch}"
        yield Problem("worker.scratch_dir", message, "lower storage.max_source_bytes, or use a larger volume")


def own_directories(settings: Settings) -> list[Path]:
    """Where a worker keeps things on this machine."""
    return [*_written(settings).values(), settings.model.cache_dir]


def _written(settings: Settings) -> dict[str, Path]:
    """The directories that are written to, by their settings."""
    written = {"worker.scratch_dir": settings.worker.scratch_dir}
    if settings.broker.kind is BrokerKind.DIRECTORY:
        written["broker.directory.path"] = settings.broker.directory.path
    for path, text in _places_written(settings.storage).items():
        uri = _file_prefix(text)
        if uri is not None:
            written[path] = uri.path
    return written


def _places_written(storage: StorageSettings) -> dict[str, str]:
    """The prefixes of our own, by their settings."""
    named = {"storage.output": storage.output, "storage.state": storage.state, "storage.uploads": storage.uploads}
    return {path: text for path, text in named.items() if text is not None}


def _overlaps(settings: Settings) -> Iterator[Problem]:
    """Old folders on scratch are removed: nothing that lasts may lie there."""
    scratch = settings.worker.scratch_dir.expanduser().resolve()
    lasting = {**_written(settings), "model.cache_dir": settings.model.cache_dir}
    del lasting["worker.scratch_dir"]
    for path, directory in lasting.items():
        if directory.expanduser().resolve().is_relative_to(scratch):
            yield Problem("worker.scratch_dir", f"{path} lies in it, {scratch}", "name a directory of its own")


def _inbox(settings: Settings) -> Iterator[Problem]:
    """Whatever appears in the inbox is a request: nothing of ours may be written there."""
    if settings.broker.kind is not BrokerKind.DIRECTORY:
        return
    inbox = settings.broker.directory.path.expanduser().resolve() / "inbox"
    for path, directory in _written(settings).items():
        if directory.expanduser().resolve().is_relative_to(inbox):
            yield Problem(path, f"lies in the spool's inbox, {inbox}", "name a directory outside of it")


def _model(settings: Settings) -> Iterator[Problem]:
    model = settings.model
    if model.name == FAKE_MODEL:
        return
    if model.name in CATALOGUE:
        yield from _fetching(model)
        return
    if not Path(model.name).is_dir():
        known = ", ".join(CATALOGUE)
        yield Problem(
            "model.name", f"neither a known model nor a directory: {model.name}", f"one of {known}, or a path"
        )
    elif model.sha256 is None:
        remedy = f"set it to the output of: sha256sum {model.name}/model.bin"
        yield Problem("model.sha256", "a model in a directory is only used with its digest", remedy)


def _fetching(model: ModelSettings) -> Iterator[Problem]:
    """Whether a named model is there, or can be put there."""
    if (model.cache_dir / model.name).is_dir():
        return
    if model.offline:
        remedy = "put the model's files there, or let it be fetched"
        yield Problem("model.offline", f"there is no {model.cache_dir / model.name}, and nothing is fetched", remedy)
    elif not _writable(model.cache_dir):
        yield Problem("model.cache_dir", f"{nearest(model.cache_dir)} can't be written to", _WRITABLE)


def _encoder(settings: Settings) -> Iterator[Problem]:
    if settings.engine.encoder is EncoderKind.TORCH and settings.engine.kind is EngineKind.SEQUENTIAL:
        remedy = "set it to auto, or engine.kind to batched"
        yield Problem("engine.encoder", "torch encodes for the batching engine only, not with engine.kind", remedy)


def _limits(settings: Settings, machine: Machine) -> Iterator[Problem]:
    worker, media, engine = settings.worker, settings.media, engine_plan(settings, machine)
    if worker.backoff_s > worker.max_backoff_s:
        yield Problem("worker.backoff_s", "greater than worker.max_backoff_s", "lower it, or raise the other")
    if isinstance(worker.max_jobs_in_flight, int) and worker.max_jobs_in_flight < engine.workers:
        message = f"fewer jobs than the engine has workers ({engine.workers}) leave it idle"
        yield Problem("worker.max_jobs_in_flight", message, "raise it, or set it to auto")
    if isinstance(media.processes, int) and media.processes < engine.workers:
        message = f"fewer readers than the engine has workers ({engine.workers}) leave it idle"
        yield Problem("media.processes", message, "raise it, or set it to auto")
    heard_in_turn = 1 if on_gpu(settings, machine) else engine.batch  # a GPU hears all of a batch at once
    least_s = max(
        media.window_timeout_s, _SLOWEST * engine.speech_s * heard_in_turn, settings.storage.download_timeout_s
    )
    if settings.observability.stall_s <= least_s:
        message = (
            "/livez would fail while a slow file is fetched (storage.download_timeout_s) or read "
            "(media.window_timeout_s), or a slab or batch heard (engine.slab_s, engine.max_batch_windows)"
        )
        yield Problem("observability.stall_s", message, f"raise it above {least_s:g}")


def _memory(settings: Settings, machine: Machine) -> Iterator[Problem]:
    jobs, processes = jobs_in_flight(settings, machine), media_processes(settings, machine)
    needed = needed_bytes(settings, machine, jobs, processes)
    if needed > machine.memory_bytes:
        message = (
            f"{processes} reader processes, {jobs} jobs and the model may need {needed // MIB} MiB, "
            f"and there are {machine.memory_bytes // MIB} MiB"
        )
        at_once = "engine.cuda_streams" if on_gpu(settings, machine) else "engine.workers"
        remedy = (
            f"lower it, engine.max_batch_windows, {at_once} (engine.concurrency, engine.slab_s), or a scratch in "
            "memory; or give the container more"
        )
        yield Problem("media.memory_limit_bytes", message, remedy)


def _file_prefix(text: str | None) -> ObjectUri | None:
    try:
        uri = prefix(text) if text else None
    except InvalidUri:
        return None  # told by `_places`
    return uri if uri is not None and uri.scheme == "file" else None


def _writable(directory: Path) -> bool:
    there = nearest(directory)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
