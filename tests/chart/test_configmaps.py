"""Every file of configmaps/: its own config, and what the chart makes of it, is one that a worker can run with."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.test_rendering import COMBINATIONS
from tests.chart.tools import CONFIGMAPS, Document, Helm, config_of, worker_pod
from transcriber_worker.settings import MIB, Settings
from transcriber_worker.tools.check_config import problems
from transcriber_worker.tools.limits import Machine

FILES = sorted(path.stem for path in CONFIGMAPS.glob("*.yaml"))
PROFILES = {"a10", "cpu-dev", "low-latency", "cost"}
_UNITS = {"Mi": MIB, "Gi": 1024 * MIB}


def in_a_pod(config: Document, root: Path) -> Settings:
    """The settings as in a pod whose volumes lie below `root`, its secrets mounted."""
    text = yaml.safe_dump(config)
    for volume in ("/data", "/models", "/scratch", "/etc/transcriber"):
        text = re.sub(rf"(^|[\s:]){volume}\b", rf"\g<1>{root}{volume}", text, flags=re.MULTILINE)
    for secret in re.findall(r"file:(\S+)", text):
        Path(secret).parent.mkdir(parents=True, exist_ok=True)
        Path(secret).write_text("secret")
    return Settings.model_validate(yaml.safe_load(text))


def bytes_of(quantity: str) -> int:
    number, unit = quantity[:-2], quantity[-2:]
    return int(number) * _UNITS[unit]


def machine_of(pod: Document) -> Machine:
    """What a pod is given."""
    resources = pod["containers"][0]["resources"]
    gpu = "nvidia.com/gpu" in resources["limits"]
    return Machine(bytes_of(resources["limits"]["memory"]), int(resources["requests"]["cpu"]), gpu)


@pytest.mark.parametrize("name", FILES)
def test_its_config_is_complete_by_itself(name: str, tmp_path: Path) -> None:
    config = yaml.safe_load((CONFIGMAPS / f"{name}.yaml").read_text())["config"]

    settings = in_a_pod(config, tmp_path)

    generous = Machine(64 * 1024 * MIB, 16, gpu=settings.model.device == "cuda")
    found = [str(problem) for problem in problems(settings, generous)]
    assert [line for line in found if "bytes are free" not in line] == []  # this machine's disk is not the pod's
    assert (name in PROFILES) is ("broker" not in config)


@pytest.mark.parametrize("files", COMBINATIONS, ids="+".join)
def test_the_chart_makes_of_it_what_fits_its_pod(helm: Helm, files: tuple[str, ...], tmp_path: Path) -> None:
    """check-config, with the memory and the cores that the pod is given."""
    documents = helm.render(files)

    settings = in_a_pod(config_of(documents), tmp_path)

    found = [str(problem) for problem in problems(settings, machine_of(worker_pod(documents)))]
    assert [line for line in found if "bytes are free" not in line] == []


@pytest.mark.parametrize("files", COMBINATIONS, ids="+".join)
def test_secrets_it_names_are_mounted(helm: Helm, files: tuple[str, ...]) -> None:
    documents = helm.render(files)
    mounts = [mount["mountPath"] for mount in worker_pod(documents)["containers"][0]["volumeMounts"]]
    for secret in re.findall(r"file:(/etc/\S+)", yaml.safe_dump(config_of(documents))):
        assert any(secret.startswith(f"{mount}/") for mount in mounts), secret


@pytest.mark.parametrize("name", FILES)
def test_no_secret_stands_in_it(name: str) -> None:
    def strings(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [text for one in value.values() for text in strings(one)]
        return [value] if isinstance(value, str) else []

    config = yaml.safe_load((CONFIGMAPS / f"{name}.yaml").read_text())["config"]
    for key in ("password", "key_password"):
        reference = config.get("broker", {}).get("kafka", {}).get(key)
        assert reference is None or reference.startswith("file:")
    assert not any("PRIVATE KEY" in text for text in strings(config))


def test_every_file_is_explained() -> None:
    readme = (CONFIGMAPS / "README.md").read_text()
    assert [name for name in FILES if f"`{name}.yaml`" not in readme] == []
