"""A benchmark, put together: contenders as processes of their own, the media reader that cuts the workloads."""

import importlib.metadata
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from transcriber_worker.app.worker import make_media
from transcriber_worker.domain.clock import SystemClock
from transcriber_worker.observability.gpu_reading import gpu_driver, gpu_names, gpu_reader
from transcriber_worker.observability.process_tree import machine_load
from transcriber_worker.settings import Settings
from transcriber_worker.tools.bench.contenders import Spec
from transcriber_worker.tools.bench.measuring import Meters, Tell
from transcriber_worker.tools.bench.programme import Circumstances, Programme, run
from transcriber_worker.tools.bench.recordings import recordings_at
from transcriber_worker.tools.bench.remote import RemoteContender
from transcriber_worker.tools.bench.report import MachineFacts, ModelFacts, Report
from transcriber_worker.tools.bench.workloads import CLIPS, LONG_S, Load, Workload, Workshop
from transcriber_worker.tools.limits import Machine

_PACKAGES = ("faster-whisper", "ctranslate2", "onnxruntime", "av", "numpy")
_CPU_FACTS = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class BenchOrder:
    """What a user asked for."""

    audio: Path
    """A recording or a folder of them."""
    out: Path
    """Where made audio and logs go."""
    loads: tuple[Load, ...]
    specs: tuple[Spec, ...]
    beams: tuple[int, ...]
    rounds: int
    one_at_a_time: bool = False
    long_s: float = LONG_S
    clips: int = CLIPS


def run_bench(order: BenchOrder, settings: Settings, config_file: Path | None, tell: Tell) -> Report:
    """Fetch the model, make the workloads, measure. Raises `NoRecordings`, `WorkerBroken` where there is no model, and
    what the media reader raises."""
    from transcriber_worker.inference.model_files import resolve

    recordings_at(order.audio)  # before a model is fetched for nothing
    model = resolve(settings.model, tell)
    where = Circumstances(machine_facts(), ModelFacts(name=model.name, sha256=model.sha256), package_versions())
    sizes = {"long_s": order.long_s, "clips": order.clips}
    workloads = make_workloads(settings, order.audio, order.out / "audio", order.loads, **sizes)
    programme = Programme(order.specs, workloads, order.beams, order.rounds, order.one_at_a_time)
    start = partial(start_contender, config_file, None, order.out / "logs")
    *_, report = run(programme, where, start, Meters(machine_load, SystemClock(), gpu_reader()), tell)
    return report


def machine_facts() -> MachineFacts:
    """This machine, without its name."""
    machine = Machine.this()
    return MachineFacts(
        cpu=_cpu(),
        cores=machine.cores,
        memory_bytes=machine.memory_bytes,
        gpus=gpu_names(),
        system=f"{platform.system()} {platform.machine()}",
    )


def make_workloads(
    settings: Settings, place: Path, folder: Path, loads: Sequence[Load], **sizes: Any
) -> tuple[Workload, ...]:
    """Made with the worker's own reader, which is ended before anything is measured. `sizes`: as `Workshop` takes
    them."""
    with closing(make_media(settings, Machine.this(), SystemClock())) as media:
        workshop = Workshop(media, place, folder, **sizes)
        return tuple(workshop.make(load) for load in loads)


def start_contender(
    config_file: Path | None, model: Mapping[str, str | None] | None, logs: Path, spec: Spec
) -> RemoteContender:
    """`model`: the settings' fields of another model than theirs."""
    told = json.dumps({"spec": spec.to_json(), "config": str(config_file) if config_file else None, "model": model})
    command: Sequence[str] = [sys.executable, "-m", "transcriber_worker.app.bench_child", told]
    return RemoteContender(spec, command, logs / f"{spec.name}-beam{spec.beam_size}.log")


def package_versions() -> dict[str, str]:
    """Of Python, of the packages that do the work, and of NVIDIA's driver; torch and a driver need not be there."""
    versions = {"Python": platform.python_version(), **{name: importlib.metadata.version(name) for name in _PACKAGES}}
    with suppress(importlib.metadata.PackageNotFoundError):
        versions["torch"] = importlib.metadata.version("torch")
    driver = gpu_driver()
    return versions | ({"NVIDIA driver": driver} if driver else {})


def _cpu() -> str:
    if _CPU_FACTS.is_file():
        for line in _CPU_FACTS.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
