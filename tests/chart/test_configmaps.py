"""Every file of configmaps/: its own config, and what the chart makes of it, is one that a worker can run with."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import schemas
from tests.chart.cases import BROKERS, COMBINATIONS, PROFILES
from tests.chart.pod import complaints, in_a_pod, machine_of
from tests.chart.tools import CONFIGMAPS, Document, Helm, config_of, pods, the, worker_pod
from transcriber_worker import __version__
from transcriber_worker.pipeline.places import Places
from transcriber_worker.settings import MIB
from transcriber_worker.tools.limits import Machine

FILES = sorted(path.stem for path in CONFIGMAPS.glob("*.yaml"))
MINE: Document = {
    "image": {"repository": "registry.example/transcriber-worker"},
    "imagePullSecrets": [{"name": "registry"}],
    "autoscaling": {"enabled": False},
    "monitoring": {"podMonitor": {"enabled": False}, "rules": {"enabled": False}},
    "config": {"worker": {"drain_s": 120.0}},
    "nodeSelector": {"pool": "gpu"},
}


@pytest.mark.parametrize("name", FILES)
def test_its_config_is_complete_by_itself(name: str, tmp_path: Path) -> None:
    config = yaml.safe_load((CONFIGMAPS / f"{name}.yaml").read_text())["config"]

    settings = in_a_pod(config, tmp_path)

    generous = Machine(64 * 1024 * MIB, 16, gpu=settings.model.device == "cuda")
    assert complaints(settings, generous) == []
    assert (name in PROFILES) is ("broker" not in config)


@pytest.mark.parametrize("files", COMBINATIONS, ids="+".join)
def test_the_chart_makes_of_it_what_fits_its_pod(helm: Helm, files: tuple[str, ...], tmp_path: Path) -> None:
    """check-config, with the memory and the cores that the pod is given."""
    documents = helm.render(files)

    settings = in_a_pod(config_of(documents), tmp_path)

    assert complaints(settings, machine_of(worker_pod(documents))) == []


@pytest.mark.parametrize("files", COMBINATIONS, ids="+".join)
def test_a_file_of_ones_own_comes_last(helm: Helm, files: tuple[str, ...], tmp_path: Path) -> None:
    """Such as for a cluster without KEDA and the operator."""
    documents = helm.render(files, MINE)

    assert not any(schemas.is_custom(document) for document in documents)
    assert [problem for document in documents for problem in schemas.problems(document)] == []
    assert the(documents, "Deployment")["spec"]["replicas"] == 1
    settings = in_a_pod(config_of(documents), tmp_path)
    assert settings.worker.drain_s == MINE["config"]["worker"]["drain_s"]
    assert complaints(settings, machine_of(worker_pod(documents))) == []


@pytest.mark.parametrize("files", COMBINATIONS, ids="+".join)
def test_secrets_it_names_are_mounted(helm: Helm, files: tuple[str, ...]) -> None:
    documents = helm.render(files)
    mounts = [mount["mountPath"] for mount in worker_pod(documents)["containers"][0]["volumeMounts"]]
    for secret in re.findall(r"file:(/etc/\S+)", yaml.safe_dump(config_of(documents))):
        assert any(secret.startswith(f"{mount}/") for mount in mounts), secret


@pytest.mark.parametrize("broker", BROKERS)
def test_it_writes_to_no_bucket_that_may_only_be_read(broker: str, tmp_path: Path) -> None:
    """docs/brokers.md: `read objects` on buckets of sources, `manage objects` on those of outputs, state, uploads."""
    config = yaml.safe_load((CONFIGMAPS / f"{broker}.yaml").read_text())["config"]
    places = Places.of(in_a_pod(config, tmp_path))

    assert places.uploads is not None
    written = {place.authority for place in (places.output, places.state, places.uploads)}
    assert written == {"my-transcripts@my-namespace"}
    assert written.isdisjoint(prefix.authority for prefix in places.rules.sources if prefix != places.uploads)


@pytest.mark.parametrize("broker", BROKERS)
def test_exporter_and_helm_test_need_no_image_with_gpu_libraries(helm: Helm, broker: str) -> None:
    made = pods(helm.render((broker,)))

    images = {
        component: container["image"] for component, pod in made.items() for container in pod["spec"]["containers"]
    }

    worker = f"my-registry/transcriber-worker:{__version__}"
    assert images == {"worker": worker, "exporter": f"{worker}-exporter", "test": f"{worker}-exporter"}


@pytest.mark.parametrize("broker", BROKERS)
def test_every_pod_is_the_service_account_that_the_policies_name(helm: Helm, broker: str) -> None:
    made = pods(helm.render((broker,)))
    (account,) = {pod["spec"]["serviceAccountName"] for pod in made.values()}
    assert f"service account `{account}`" in (CONFIGMAPS / f"{broker}.yaml").read_text()
    assert f"service account `{account}`" in (CONFIGMAPS / "README.md").read_text()


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
