"""A contender of a benchmark, in a process of its own: `python -m transcriber_worker.app.bench_child ORDER`."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from transcriber_worker.app.worker import make_engine, make_media
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.observability.logging import configure
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.settings import EncoderKind, EngineKind, ObservabilitySettings, Settings
from transcriber_worker.tools.bench.child import ContenderServant, Send, Servant, serve
from transcriber_worker.tools.bench.contenders import Contender, Heard, Kind, Spec
from transcriber_worker.tools.bench.own import OwnEngine
from transcriber_worker.tools.limits import Machine, jobs_in_flight, lookahead, media_processes


def main(order: str) -> None:
    """`order`: JSON with `spec`; `config`, the settings' file or null; `model`, the settings' fields of another model
    than theirs, or null."""

    def load(told: Mapping[str, Any], settings: Settings) -> ContenderServant:
        return ContenderServant(_contender(Spec.from_json(told["spec"]), settings))

    answer(order, load)


def answer(order: str, load: Callable[[Mapping[str, Any], Settings], Servant]) -> None:
    """Be a child process of a benchmark: load what the order is for, and answer until the end of the input."""
    told = json.loads(order)
    send = take_over_stdout()
    configure(ObservabilitySettings(log_format="json", log_level="warning"), worker_id="bench")
    settings = settings_of(told)
    serve(lambda: load(told, settings), sys.stdin, send)


def settings_of(told: Mapping[str, Any]) -> Settings:
    """What a child's order says of its settings."""
    settings = Settings.load(Path(told["config"]) if told["config"] else None)
    if not told["model"]:
        return settings
    return settings.model_copy(update={"model": settings.model.model_copy(update=told["model"])})


def settings_for(spec: Spec, settings: Settings) -> Settings:
    """The settings one of the worker's own engines runs with: the user's, but for what the contender stands for."""
    kind = EngineKind.SEQUENTIAL if spec.kind is Kind.SEQUENTIAL else EngineKind.BATCHED
    changes: dict[str, Any] = {"kind": kind, "window_padding": spec.padding}
    if spec.encoder is not None:
        changes["encoder"] = EncoderKind(spec.encoder)
    if spec.workers != "auto":
        changes |= {"workers": spec.workers, "cuda_streams": spec.workers}
    if spec.max_batch_windows != "auto":
        changes["max_batch_windows"] = spec.max_batch_windows
    return settings.model_copy(
        update={
            "engine": settings.engine.model_copy(update=changes),
            "model": settings.model.model_copy(update=_model_changes(spec)),
        }
    )


def _model_changes(spec: Spec) -> dict[str, Any]:
    changes: dict[str, Any] = {"beam_size": spec.beam_size}
    if spec.device is not None:
        changes["device"] = spec.device
    if spec.compute_type is not None:
        changes["compute_type"] = spec.compute_type
    return changes


def _contender(spec: Spec, settings: Settings) -> Contender:
    machine = Machine.this()
    if spec.kind in (Kind.DIRECT, Kind.PIPELINE):
        return _Direct(spec, settings, machine)
    own = _own(settings_for(spec, settings), machine)
    used = own.facts["encoder"]
    if spec.encoder is not None and used != spec.encoder:
        own.close()
        raise WorkerBroken(f"the encoder {spec.encoder} can't be used, {used} would be: the log says why")
    return own if spec.leave_bytes is None else _Cramped(own, spec.leave_bytes)


def _own(settings: Settings, machine: Machine) -> OwnEngine:
    clock, metrics = SystemClock(), Metrics(CollectorRegistry())
    media = make_media(settings, machine, clock)
    engine = make_engine(settings, machine, clock, metrics)
    try:
        info = engine.start()
    except BaseException:
        engine.close()
        media.close()
        raise
    return OwnEngine(
        engine,
        media,
        facts={
            "device": info.device,
            "compute_type": info.compute_type,
            "encoder": info.encoder,
            "workers": str(info.workers),
            "max_batch_windows": str(info.max_batch_windows),
            "readers": str(media_processes(settings, machine)),
        },
        at_once=jobs_in_flight(settings, machine),
        lookahead=lookahead(settings, machine),
        transcript=settings.transcript,
        metrics=metrics,
        clock=clock,
    )


class _Cramped:
    """A contender on a GPU whose memory somebody else has taken."""

    def __init__(self, inside: OwnEngine, leave_bytes: int) -> None:
        from transcriber_worker.inference.ballast import take_gpu_memory

        self._inside = inside
        self.facts, self.at_once, self.hear, self.counters = inside.facts, inside.at_once, inside.hear, inside.counters
        try:
            self._taken = take_gpu_memory(leave_bytes)
        except BaseException:
            inside.close()
            raise

    def close(self) -> None:
        self._taken.clear()
        self._inside.close()


class _Direct:
    """faster-whisper without us, as a contender."""

    def __init__(self, spec: Spec, settings: Settings, machine: Machine) -> None:
        from transcriber_worker.inference.baselines import Baseline, BaselineOptions
        from transcriber_worker.inference.model_files import resolve

        options = BaselineOptions(
            device=settings.model.device,
            compute_type=settings.model.compute_type,
            beam_size=spec.beam_size,
            at_once=spec.at_once,
            cores=machine.cores,
            batch_size=spec.pipeline_batch if spec.kind is Kind.PIPELINE else None,
        )
        self._baseline: Baseline = Baseline(resolve(settings.model, lambda _: None), options)
        self.at_once = spec.at_once
        self.facts: Mapping[str, str] = {
            "device": self._baseline.device,
            "compute_type": self._baseline.compute_type,
            "workers": str(spec.at_once),
            "cpu_threads": str(self._baseline.threads),
        }

    def hear(self, path: Path, language: str | None) -> Heard:
        told = self._baseline.hear(path, language)
        return Heard(told.text, told.timed_words, told.language, told.audio_s, told.tokens)

    def counters(self) -> Mapping[str, float]:
        return {}

    def close(self) -> None:
        """The process ends with it."""


def take_over_stdout() -> Send:
    """Keep stdout for answers: what a library prints there goes to stderr."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def send(answer: Mapping[str, Any]) -> None:
        out.write(json.dumps(answer) + "\n")
        out.flush()

    return send


if __name__ == "__main__":
    main(sys.argv[1])
