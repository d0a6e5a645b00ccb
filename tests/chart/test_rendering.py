"""The chart over every sensible combination of value files: what comes out is valid, and what the files say."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.chart import schemas
from tests.chart.tools import CHART, CONFIGMAPS, Document, Helm, Refused, config_of, kinds, the, worker_pod
from transcriber_worker.settings import Settings

BROKERS = (None, "kafka-oci-streaming", "kafka-managed", "oci-queue")
PROFILES = (None, "a10", "cpu-dev", "low-latency", "cost")
COMBINATIONS = [tuple(name for name in pair if name is not None) for pair in itertools.product(BROKERS, PROFILES)]
ALL_ON: Document = {
    "monitoring": {"podMonitor": {"enabled": True}, "rules": {"enabled": True}, "dashboard": {"enabled": True}},
    "networkPolicy": {"enabled": True},
    "preStopSeconds": 5,
    "priorityClassName": "gpu",
    "runtimeClassName": "nvidia",
    "imagePullSecrets": [{"name": "registry"}],
    "image": {"digest": "sha256:" + 64 * "a"},
    "env": [{"name": "HF_ENDPOINT", "value": "https://hub.example"}],
    "envFrom": [{"secretRef": {"name": "more"}}],
    "volumes": [{"name": "certificates", "secret": {"secretName": "certificates"}}],
    "volumeMounts": [{"name": "certificates", "mountPath": "/certificates"}],
    "podAnnotations": {"example/a": "b"},
    "podLabels": {"example/c": "d"},
    "serviceAccount": {"annotations": {"example/e": "f"}},
    "affinity": {"nodeAffinity": {}},
    "nodeSelector": {"pool": "gpu"},
    "exporter": {"nodeSelector": {"pool": "cpu"}, "tolerations": [{"operator": "Exists"}]},
}
SCALED_JOB: Document = {
    "workload": {"kind": "ScaledJob"},
    "autoscaling": {"enabled": True},
    "config": {"worker": {"exit_when_idle_s": 90.0}},
}
CLAIMED: Document = {"modelCache": {"kind": "claim"}}
BAKED: Document = {"modelCache": {"kind": "image"}}


def test_every_value_file_is_combined() -> None:
    assert {path.stem for path in CONFIGMAPS.glob("*.yaml")} == {*BROKERS, *PROFILES} - {None}


@pytest.mark.parametrize("files", COMBINATIONS, ids="+".join)
def test_lint_finds_nothing(helm: Helm, files: tuple[str, ...]) -> None:
    named = [word for name in files for word in ("-f", str(CONFIGMAPS / f"{name}.yaml"))]
    assert "0 chart(s) failed" in helm.run("lint", "--strict", str(CHART), *named)


@pytest.mark.parametrize("version", [schemas.OLDEST, schemas.NEWEST])
def test_it_is_packaged_and_installed_from_the_package(helm: Helm, tmp_path: Path, version: str) -> None:
    helm.run("package", str(CHART), "--destination", str(tmp_path))
    (package,) = tmp_path.glob("*.tgz")
    assert "kind: Deployment" in helm.run("template", "calls", str(package), "--kube-version", version)


@pytest.mark.parametrize("files", COMBINATIONS, ids="+".join)
def test_every_combination_is_valid(helm: Helm, files: tuple[str, ...]) -> None:
    documents = helm.render(files)

    assert [problem for document in documents for problem in schemas.problems(document)] == []
    Settings.model_validate(config_of(documents))


@pytest.mark.parametrize("broker", BROKERS[1:])
@pytest.mark.parametrize("values", [ALL_ON, SCALED_JOB, CLAIMED, BAKED], ids=["all-on", "jobs", "claim", "baked"])
def test_every_switch_is_valid(helm: Helm, broker: str, values: Document) -> None:
    documents = helm.render((broker,), values)

    assert [problem for document in documents for problem in schemas.problems(document)] == []


def test_unknown_fields_of_an_object_are_found(helm: Helm) -> None:
    """The validation itself tells a field too many by its path, in KEDA's and the operator's objects too."""
    documents = helm.render(("oci-queue",), {"workload": {"strategy": {"tipe": "Recreate"}}})
    assert any("tipe" in problem for problem in schemas.problems(the(documents, "Deployment")))
    documents = helm.render(("oci-queue",), {"autoscaling": {"fallback": {"replica": 1}}})
    assert "ScaledObject.spec.fallback.replica is no field" in schemas.problems(the(documents, "ScaledObject"))
    documents = helm.render(("oci-queue",), {"monitoring": {"podMonitor": {"endpoint": {"pfad": "/"}}}})
    found = schemas.problems(the(documents, "PodMonitor"))
    assert found == ["PodMonitor.spec.podMetricsEndpoints[0].pfad is no field"]
    documents = helm.render(("oci-queue",), {**SCALED_JOB, "nodeSelector": {"pool": 3}})
    assert any("Job on Kubernetes 1.30" in problem for problem in schemas.problems(the(documents, "ScaledJob")))


def test_config_is_passed_verbatim(helm: Helm) -> None:
    """Large numbers, fractions and empty lists too, which Helm's templates like to change."""
    given: dict[str, Any] = {
        "storage": {"max_source_bytes": 5_000_000_001, "allowed_sources": []},
        "worker": {"drain_s": 90.5, "max_scratch_bytes": 6_000_000_000},
    }
    documents = helm.render(values={"config": given})

    config = config_of(documents)

    assert config["storage"]["max_source_bytes"] == 5_000_000_001
    assert isinstance(config["storage"]["max_source_bytes"], int)
    assert config["storage"]["allowed_sources"] == []
    assert config["worker"] == {"drain_s": 90.5, "max_scratch_bytes": 6_000_000_000, "scratch_dir": "/scratch"}


def test_a_changed_config_rolls_workers_and_exporter(helm: Helm) -> None:
    def sums(values: Document) -> list[str]:
        documents = helm.render(("oci-queue",), values)
        both = [the(documents, "Deployment", suffix) for suffix in ("", "-exporter")]
        return [one["spec"]["template"]["metadata"]["annotations"]["checksum/config"] for one in both]

    assert sums({}) == sums({"podLabels": {"a": "b"}})
    assert not set(sums({})) & set(sums({"config": {"worker": {"drain_s": 200.0}}}))


def test_grace_is_pre_stop_and_drain_and_hand_back(helm: Helm) -> None:
    assert worker_pod(helm.render())["terminationGracePeriodSeconds"] == 330
    values: Document = {"preStopSeconds": 7, "config": {"worker": {"drain_s": 90.5}}}
    pod = worker_pod(helm.render(values=values))
    assert pod["terminationGracePeriodSeconds"] == 7 + 91 + 30
    assert pod["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 7}}}
    assert (
        worker_pod(helm.render(values={"terminationGracePeriodSeconds": 900}))["terminationGracePeriodSeconds"] == 900
    )


def test_what_runs_in_a_pod_can_write_only_to_volumes(helm: Helm) -> None:
    documents = helm.render(("kafka-managed",), ALL_ON)
    exporter = the(documents, "Deployment", "-exporter")["spec"]["template"]["spec"]
    pods = [worker_pod(documents), exporter, the(documents, "Pod", "-test")["spec"]]
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, container["name"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_notes_say_how_to_see_it_work(helm: Helm) -> None:
    def notes(values: str) -> str:
        files = ["-f", str(CONFIGMAPS / "oci-queue.yaml"), "--set", values]
        text = helm.run("install", "calls", str(CHART), "--dry-run=client", *files)
        return text.partition("NOTES:")[2]

    assert "helm test -n default calls" in notes("autoscaling.minReplicas=1")
    assert "takes minutes" not in notes("autoscaling.minReplicas=1")
    assert "takes minutes" in notes("autoscaling.minReplicas=0")
    assert "helm test has nothing to submit" in notes("config.storage.uploads=null")


def test_a_rollout_needs_no_spare_gpu_and_a_drain_takes_one_worker(helm: Helm) -> None:
    documents = helm.render()
    assert the(documents, "Deployment")["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert the(documents, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert worker_pod(documents)["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_the_model_is_fetched_before_and_the_worker_starts_offline(helm: Helm) -> None:
    def offline(values: Document) -> tuple[bool, bool]:
        pod = worker_pod(helm.render(values=values))
        names = [variable["name"] for variable in pod["containers"][0].get("env", [])]
        return "initContainers" in pod, "TRANSCRIBER__MODEL__OFFLINE" in names

    assert offline({}) == (True, True)
    assert offline({"modelCache": {"fetch": {"enabled": False}}}) == (False, False)
    assert offline(BAKED) == (False, True)
    assert offline({"config": {"model": {"name": "fake"}}}) == (False, False)
    fetcher = worker_pod(helm.render(values={"modelCache": {"fetch": {"from": "oci://models@ns/"}}}))["initContainers"][
        0
    ]
    assert fetcher["args"] == ["--from", "oci://models@ns/"]


def test_keda_scales_by_the_committed_lag_of_kafka(helm: Helm) -> None:
    documents = helm.render(("kafka-oci-streaming",))

    (trigger,) = the(documents, "ScaledObject")["spec"]["triggers"]

    assert trigger["type"] == "kafka"
    assert trigger["metadata"]["topic"] == "transcription-requests"
    assert (trigger["metadata"]["sasl"], trigger["metadata"]["tls"]) == ("plaintext", "enable")
    assert trigger["authenticationRef"]["name"] == the(documents, "TriggerAuthentication")["metadata"]["name"]
    assert "replicas" not in the(documents, "Deployment")["spec"]


def test_keda_scales_by_the_exporters_backlog_of_oci_queue(helm: Helm) -> None:
    documents = helm.render(("oci-queue",))

    spec = the(documents, "ScaledObject")["spec"]

    service = the(documents, "Service", "-exporter")
    port = service["spec"]["ports"][0]["port"]
    assert spec["triggers"] == [
        {
            "type": "metrics-api",
            "metadata": {
                "url": f"http://{service['metadata']['name']}.transcription.svc:{port}/v1/backlog",
                "valueLocation": "backlog",
                "targetValue": "8",
                "activationTargetValue": "0",
            },
        }
    ]
    assert spec["fallback"] == {"failureThreshold": 4, "replicas": 1}


def test_jobs_exit_when_idle_and_replace_the_deployment(helm: Helm) -> None:
    documents = helm.render(("oci-queue",), SCALED_JOB)

    pod = worker_pod(documents)

    assert pod["containers"][0]["args"] == ["--exit-when-idle"]
    assert pod["restartPolicy"] == "Never"
    assert "ScaledObject" not in kinds(documents)
    assert "PodDisruptionBudget" not in kinds(documents)
    assert [one["metadata"]["name"] for one in documents if one["kind"] == "Deployment"] == [
        "calls-transcriber-worker-exporter"
    ]


def test_pods_get_a_token_only_for_workload_identity(helm: Helm) -> None:
    assert worker_pod(helm.render())["automountServiceAccountToken"] is False
    assert worker_pod(helm.render(("oci-queue",)))["automountServiceAccountToken"] is True
    values: Document = {"config": {"oci": {"auth": "api_key"}}}
    assert worker_pod(helm.render(("oci-queue",), values))["automountServiceAccountToken"] is False


def test_the_network_policy_lets_out_what_config_names(helm: Helm) -> None:
    def ports(files: tuple[str, ...], values: Document) -> set[int]:
        egress = the(helm.render(files, {**values, "networkPolicy": {"enabled": True}}), "NetworkPolicy")["spec"][
            "egress"
        ]
        return {port["port"] for rule in egress for port in rule["ports"]}

    assert ports((), {}) == {53, 443}
    assert ports(("oci-queue",), {}) == {53, 443, 12250}
    kafka: Document = {"config": {"broker": {"kafka": {"bootstrap_servers": "a:9093, b:9094"}}}}
    assert ports(("kafka-managed",), kafka) == {53, 443, 9093, 9094, 12250}
    emulated: Document = {"config": {"oci": {"object_storage_endpoint": "http://emulator:8080/x"}}}
    assert ports(("oci-queue",), emulated) == {53, 443, 8080, 12250}


def test_helm_test_submits_a_clip_where_it_can(helm: Helm) -> None:
    documents = helm.render(("oci-queue",))
    pod = the(documents, "Pod", "-test")
    assert "submit" in pod["spec"]["containers"][0]["args"][0]
    assert the(documents, "ConfigMap", "-test-clip")["binaryData"]["clip.ogg"].startswith("T2dnUw")  # OggS
    nowhere: Document = {"config": {"storage": {"uploads": None}}}
    assert "Pod" not in kinds(helm.render(("oci-queue",), nowhere))
    named: Document = {**nowhere, "test": {"source": "oci://a@b/c.mp3"}}
    documents = helm.render(("oci-queue",), named)
    assert the(documents, "Pod", "-test")["spec"]["containers"][0]["command"][-1] == "oci://a@b/c.mp3"


def test_an_older_kubernetes_is_refused(helm: Helm) -> None:
    with pytest.raises(Refused, match=r"1\.29"):
        helm.run("template", "calls", str(CHART), "--kube-version", "1.29.0")
