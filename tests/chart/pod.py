"""What a worker finds in the pod that the chart gives it: its volumes, its secrets, its memory and cores."""

import re
from pathlib import Path

import yaml

from tests.chart.tools import Document, moved
from transcriber_worker.settings import MIB, Settings
from transcriber_worker.tools.check_config import problems
from transcriber_worker.tools.limits import Machine

_UNITS = {"Mi": MIB, "Gi": 1024 * MIB}


def in_a_pod(config: Document, root: Path) -> Settings:
    """The settings as in a pod whose volumes lie below `root`, its secrets mounted."""
    config = moved(config, root)
    for secret in re.findall(r"file:(\S+)", yaml.safe_dump(config)):
        Path(secret).parent.mkdir(parents=True, exist_ok=True)
        Path(secret).write_text("secret")
    return Settings.model_validate(config)


def machine_of(pod: Document) -> Machine:
    """What a pod is given."""
    resources = pod["containers"][0]["resources"]
    gpu = "nvidia.com/gpu" in resources["limits"]
    return Machine(_bytes_of(resources["limits"]["memory"]), int(resources["requests"]["cpu"]), gpu)


def complaints(settings: Settings, machine: Machine) -> list[str]:
    """What check-config says there, but for the free disk: this machine's is not the pod's."""
    return [line for line in map(str, problems(settings, machine)) if "bytes are free" not in line]


def _bytes_of(quantity: str) -> int:
    number, unit = quantity[:-2], quantity[-2:]
    return int(number) * _UNITS[unit]
