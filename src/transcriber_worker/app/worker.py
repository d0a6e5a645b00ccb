"""A worker, put together from its settings."""

import os
import random
import socket
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from transcriber_worker import __version__
from transcriber_worker.app import allocator
from transcriber_worker.app.office import Office, open_office
from transcriber_worker.domain.clock import Clock
from transcriber_worker.inference.base import EngineInfo, SpeechEngine
from transcriber_worker.observability import events
from transcriber_worker.observability.logging import configure, emit, log_uncaught_errors, route_vendor_loggers
from transcriber_worker.observability.metrics import Metrics
from transcriber_worker.pipeline.milestones import Milestone, Observer
from transcriber_worker.settings import BrokerKind, EngineKind, Settings
from transcriber_worker.tools.check_config import FAKE_MODEL
from transcriber_worker.tools.limits import Machine, engine_plan, jobs_in_flight, lookahead, media_processes

if TYPE_CHECKING:
    from transcriber_worker.media.pool import MediaPool
    from transcriber_worker.pipeline.attempt import Attempts
    from transcriber_worker.pipeline.heartbeat import Heartbeat
    from transcriber_worker.pipeline.scratch import Scratch
    from transcriber_worker.worker.signals import StopRequest


def make_engine(settings: Settings, machine: Machine, clock: Clock, metrics: Metrics) -> SpeechEngine:
    """The engine the settings name, not started."""
    if settings.model.name == FAKE_MODEL:
        from transcriber_worker.inference.fake import FakeEngine

        return FakeEngine(settings.engine, clock)
    from transcriber_worker.inference.model_files import resolve

    def tell(line: str) -> None:
        emit(events.MODEL_FETCHING, message=line)

    files = partial(resolve, settings.model, tell)
    if settings.engine.kind is EngineKind.SEQUENTIAL:
        from transcriber_worker.inference.sequential import SequentialEngine

        return SequentialEngine(settings.model, settings.engine, files, cores=machine.cores)
    from transcriber_worker.inference.batched.engine import BatchedEngine

    return BatchedEngine(
        settings.model,
        settings.engine,
        files,
        cores=machine.cores,
        memory_bytes=machine.memory_bytes,
        gpu_bytes=machine.gpu_bytes,
        clock=clock,
        metrics=metrics,
    )


def make_media(settings: Settings, machine: Machine, clock: Clock) -> "MediaPool":
    """The media reader, its windows as that engine wants them."""
    from transcriber_worker.media.base import WindowLimits
    from transcriber_worker.media.pool import MediaPool

    media = settings.media.model_copy(update={"processes": media_processes(settings, machine)})
    engine = engine_plan(settings, machine)
    return MediaPool(media, WindowLimits(engine.speech_s, engine.span_s), machine.cores, clock)


def worker_id(settings: Settings) -> str:
    """The worker's name in records, logs and on scratch."""
    return settings.worker.id or f"{socket.gethostname()}-{os.getpid()}"


def run_worker(
    settings: Settings,
    stop: "StopRequest",
    *,
    config_file: Path | None = None,
    exit_when_idle: bool = False,
    observer: Observer | None = None,
) -> None:
    """Run a worker until `stop` is requested, or with `exit_when_idle` until nothing is left to do.

    `observer` is told of every milestone of every job. Raises `WorkerBroken`, with nothing settled.
    """
    allocator.bound_arenas()
    machine = Machine.this()
    name = worker_id(settings)
    configure(settings.observability, worker_id=name)
    log_uncaught_errors()
    emit(events.WORKER_STARTING, version=__version__, pid=os.getpid())
    overrides = sorted(key for key in os.environ if key.startswith("TRANSCRIBER__"))
    emit(events.CONFIG_LOADED, config_file=str(config_file) if config_file else None, overrides=overrides)
    with ExitStack() as stack:
        office = stack.enter_context(open_office(settings))
        Assembly(office, machine, name, stack, observer).run(stop, exit_when_idle=exit_when_idle)


class Assembly:
    """A worker being put together. What it opens is closed by `stack`."""

    def __init__(
        self, office: Office, machine: Machine, name: str, stack: ExitStack, observer: Observer | None
    ) -> None:
        from transcriber_worker.observability.health import HealthState
        from transcriber_worker.worker.report import Report

        self.office = office
        self.settings = settings = office.settings
        self.machine = machine
        self.name = name
        self.stack = stack
        self.observer = observer
        self.metrics = office.metrics
        self.health = HealthState(office.clock, settings.observability.stall_s, self.metrics)
        self.media = make_media(settings, machine, office.clock)
        stack.callback(self.media.close)
        progress_events = settings.observability.progress_events
        self.report = Report(office.broker, self.metrics, office.clock, progress_events=progress_events)

    def run(self, stop: "StopRequest", *, exit_when_idle: bool) -> None:
        """Serve probes, load the model, work."""
        from transcriber_worker.worker.loop import Worker

        self._serve()
        engine, info = self._start_engine()
        settings, office = self.settings, self.office
        heartbeat = self._heartbeat()
        worker = Worker(
            office.broker,
            self._attempts(engine, info, heartbeat),
            heartbeat,
            self.health,
            self.metrics,
            self.report,
            settings.worker,
            office.clock,
            slots=jobs_in_flight(settings, self.machine),
            exit_when_idle=exit_when_idle,
            after_job=allocator.give_back,
        )
        worker.run(stop)

    def _serve(self) -> None:
        from transcriber_worker.observability.health_server import HealthServer
        from transcriber_worker.observability.resources import GpuCollector, ProcessCollector, open_nvml

        registry, settings = self.metrics.registry, self.settings.observability
        registry.register(ProcessCollector(self.media.child_pids))
        nvml = open_nvml()
        if nvml is not None:
            registry.register(GpuCollector(nvml))
        if settings.http_port:
            server = HealthServer(self.health, registry, settings.http_host, settings.http_port)
            self.stack.callback(server.close)
            server.start()

    def _start_engine(self) -> tuple[SpeechEngine, EngineInfo]:
        clock = self.office.clock
        begun = clock.monotonic()
        engine = make_engine(self.settings, self.machine, clock, self.metrics)
        self.stack.callback(engine.close)
        info = engine.start()
        route_vendor_loggers()  # the model libraries, imported just now, brought handlers of their own
        load_s = clock.monotonic() - begun
        self.metrics.model_load_seconds.set(load_s)
        self.metrics.model.info(
            {
                "engine": info.engine,
                "model": info.model,
                "sha256": info.model_sha256,
                "device": info.device,
                "compute_type": info.compute_type,
            }
        )
        emit(
            events.MODEL_LOADED,
            engine=info.engine,
            model=info.model,
            model_sha256=info.model_sha256,
            device=info.device,
            compute_type=info.compute_type,
            load_s=round(load_s, 3),
        )
        return engine, info

    def _heartbeat(self) -> "Heartbeat":
        from transcriber_worker.pipeline.heartbeat import Heartbeat

        leases = [self.settings.worker.lease_s]
        broker = self.settings.broker
        if broker.kind is BrokerKind.DIRECTORY:
            leases.append(broker.directory.lease_s)
        elif broker.kind is BrokerKind.OCI_QUEUE:
            leases.append(broker.oci_queue.lease_s)
        return Heartbeat(min(leases) / 3, self.office.clock, self.report.renewed, self.report.renewal_failed)

    def _attempts(self, engine: SpeechEngine, info: EngineInfo, heartbeat: "Heartbeat") -> "Attempts":
        from transcriber_worker.pipeline.attempt import Attempts
        from transcriber_worker.pipeline.claims import Claims
        from transcriber_worker.pipeline.endings import Endings
        from transcriber_worker.pipeline.journey import Journey
        from transcriber_worker.pipeline.outputs import Outputs
        from transcriber_worker.pipeline.sources import Sources

        settings, office, clock = self.settings, self.office, self.office.clock
        worker, places = settings.worker, office.places
        sources = Sources(office.store, places.rules.sources, places.state, settings.storage, clock)
        self.metrics.sources_down.set_function(lambda: sources.down)
        outputs = Outputs(office.store, settings.transcript)
        ahead = lookahead(settings, self.machine)
        journey = Journey(sources, outputs, self.media, engine, info, self._scratch(), settings, ahead, clock)
        self.metrics.scratch_bytes_in_flight.set_function(lambda: journey.scratch_bytes.used)
        self.metrics.audio_seconds_in_flight.set_function(lambda: journey.audio_s.used)
        endings = Endings(
            office.broker,
            office.store,
            office.records,
            places.state,
            worker,
            self.name,
            clock,
            random.SystemRandom(),
        )
        return Attempts(
            places.rules,
            Claims(office.records, self.name, worker.lease_s, clock),
            journey,
            endings,
            heartbeat,
            self.report,
            self._observe,
            worker,
            clock,
        )

    def _scratch(self) -> "Scratch":
        from transcriber_worker.pipeline.scratch import Scratch

        worker = self.settings.worker
        scratch = Scratch(worker.scratch_dir, self.name, self.office.clock)
        removed = scratch.prepare(worker.scratch_max_age_s)
        if removed:
            emit(events.SCRATCH_CLEANED, path=str(worker.scratch_dir), files=removed)
        self.stack.callback(scratch.close)
        return scratch

    def _observe(self, job_id: str, milestone: Milestone, /) -> None:
        self.health.progressed()
        if self.observer is not None:
            self.observer(job_id, milestone)
