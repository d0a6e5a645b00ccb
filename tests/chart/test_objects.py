"""How the objects of a release hang together: names, selectors, references, what an upgrade may touch."""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.cases import ALL_ON, BROKERS, CLAIMED, SCALED_JOB, SWITCHES
from tests.chart.tools import CHART, NAME, Document, Helm, pods, the

LABELS_THAT_SELECT = {"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component"}


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """A label selector, as Kubernetes reads it."""
    wanted = [
        {"key": key, "operator": "In", "values": [value]} for key, value in selector.get("matchLabels", {}).items()
    ]
    wanted += selector.get("matchExpressions", [])
    assert {one["operator"] for one in wanted} <= {"In"}
    return all(labels.get(one["key"]) in one["values"] for one in wanted)


@pytest.mark.parametrize(
    ("release", "values"),
    [
        (53 * "r", {}),
        ("my.release", {}),
        ("calls", {"fullnameOverride": 63 * "n"}),
        ("calls", {"fullnameOverride": 51 * "n" + "-" + 11 * "n"}),
        ("calls", {"nameOverride": 80 * "n"}),
        ("transcriber-worker", {}),
    ],
)
@pytest.mark.parametrize("more", [ALL_ON, {**SCALED_JOB, "modelCache": {"kind": "claim"}}], ids=["all-on", "jobs"])
def test_names_are_short_enough_however_they_are_chosen(
    helm: Helm, release: str, values: Document, more: Document
) -> None:
    documents = helm.render(("oci-queue",), {**more, **values}, release=release)

    for document in documents:
        metadata = document["metadata"]
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", metadata["name"])
        for value in metadata["labels"].values():
            assert re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?", value)
    names = [(document["kind"], document["metadata"]["name"]) for document in documents]
    assert len(set(names)) == len(names)


def named(pod: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The objects that a pod can't start without."""
    spec = pod["spec"]
    yield "ServiceAccount", spec["serviceAccountName"]
    for volume in spec["volumes"]:
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]


OURS = {"Secret": {"transcriber-kafka", "certificates"}}
"""Of the user's, by the value files and `ALL_ON`."""


@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("values", [{}, *SWITCHES.values()], ids=["plain", *SWITCHES])
def test_what_an_object_names_is_there(helm: Helm, broker: str, values: Document) -> None:
    documents = helm.render((broker,), values)
    there = {(one["kind"], one["metadata"]["name"]) for one in documents}
    there |= {(kind, name) for kind, names in OURS.items() for name in names}

    wanted = {one for pod in pods(documents).values() for one in named(pod)}
    for document in documents:
        spec = document.get("spec", {})
        if document["kind"] == "ScaledObject":
            wanted.add(("Deployment", spec["scaleTargetRef"]["name"]))
        for trigger in spec.get("triggers", []):
            if "authenticationRef" in trigger:
                wanted.add(("TriggerAuthentication", trigger["authenticationRef"]["name"]))
            if trigger["type"] == "metrics-api":
                wanted.add(("Service", trigger["metadata"]["url"].partition("://")[2].partition(".")[0]))

    assert wanted - there == set()


def test_every_volume_that_is_mounted_is_there_and_none_is_too_many(helm: Helm) -> None:
    for values in SWITCHES.values():
        for pod in pods(helm.render(("kafka-managed",), values)).values():
            volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
            containers = [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
            mounted = {mount["name"] for container in containers for mount in container["volumeMounts"]}
            assert mounted == volumes


def test_selectors_meet_the_pods_they_are_for(helm: Helm) -> None:
    documents = helm.render(("oci-queue",), ALL_ON)
    labels = {component: pod["metadata"]["labels"] for component, pod in pods(documents).items()}

    def met(selector: Mapping[str, Any]) -> set[str]:
        return {component for component, of in labels.items() if matches(selector, of)}

    assert set(labels) == {"worker", "exporter", "test"}
    assert met(the(documents, "Deployment")["spec"]["selector"]) == {"worker"}
    assert met(the(documents, "Deployment", "-exporter")["spec"]["selector"]) == {"exporter"}
    assert met({"matchLabels": the(documents, "Service", "-exporter")["spec"]["selector"]}) == {"exporter"}
    assert met(the(documents, "PodDisruptionBudget")["spec"]["selector"]) == {"worker"}
    assert met(the(documents, "PodMonitor")["spec"]["selector"]) == {"worker", "exporter"}
    assert met(the(documents, "NetworkPolicy")["spec"]["podSelector"]) == {"worker", "exporter", "test"}
    (spread,) = pods(documents)["worker"]["spec"]["topologySpreadConstraints"]
    assert met(spread["labelSelector"]) == {"worker"}
    (endpoint,) = the(documents, "PodMonitor")["spec"]["podMetricsEndpoints"]
    for component in ("worker", "exporter"):
        (container,) = pods(documents)[component]["spec"]["containers"]
        assert endpoint["port"] in [port["name"] for port in container["ports"]]


def test_a_new_version_of_the_chart_restarts_nothing_by_itself(helm: Helm, tmp_path: Path) -> None:
    """Nor does it touch a selector, which Kubernetes would refuse."""
    newer = tmp_path / "transcriber-worker"
    shutil.copytree(CHART, newer)
    about = yaml.safe_load((newer / "Chart.yaml").read_text())
    (newer / "Chart.yaml").write_text(yaml.safe_dump({**about, "version": "9.9.9", "appVersion": "9.9.9"}))
    values: Document = {"image": {"digest": "sha256:" + 64 * "a"}}

    before = helm.render(("oci-queue",), values)
    after = helm.render(("oci-queue",), values, chart=newer)

    assert [one["metadata"] for one in before] != [one["metadata"] for one in after]
    assert [one.get("spec") for one in before] == [one.get("spec") for one in after]
    for suffix in ("", "-exporter"):
        assert set(the(after, "Deployment", suffix)["spec"]["selector"]["matchLabels"]) == LABELS_THAT_SELECT


def test_claims_are_made_for_what_uses_them_and_outlive_the_release(helm: Helm) -> None:
    documents = helm.render(values=CLAIMED)
    claims = {("PersistentVolumeClaim", f"{NAME}-data"), ("PersistentVolumeClaim", f"{NAME}-models")}
    assert claims <= set(named(pods(documents)["worker"]))
    for suffix in ("-data", "-models"):
        assert the(documents, "PersistentVolumeClaim", suffix)["metadata"]["annotations"] == {
            "helm.sh/resource-policy": "keep"
        }


def test_a_release_with_jobs_and_with_a_deployment_can_take_turns(helm: Helm) -> None:
    """Each has only its own: neither fights the HPA for the replicas, nor keeps the other's scaler."""
    scaled = helm.render(("oci-queue",))
    assert "replicas" not in the(scaled, "Deployment")["spec"]
    assert "ScaledJob" not in {one["kind"] for one in scaled}
    fixed = helm.render(("oci-queue",), {"autoscaling": {"enabled": False}, "workload": {"replicas": 2}})
    assert the(fixed, "Deployment")["spec"]["replicas"] == 2
    assert "ScaledObject" not in {one["kind"] for one in fixed}
