"""What the chart makes of its values, object by object."""

from typing import Any

import pytest

from tests.chart.cases import BAKED, CLAIMED, SCALED_JOB, SWITCHES
from tests.chart.tools import CHART, CONFIGMAPS, NAME, Document, Helm, config_of, kinds, pods, the, worker_pod
from transcriber_worker.settings import WorkerSettings
from transcriber_worker.worker.loop import HAND_BACK_S


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


@pytest.mark.parametrize(
    "text",
    ["yes", "0123", "1e3", "1:30:00", "1_000", "0x1f", "~", "{{ .Values }}", " a: b #c", "zwei\nZeilen\n", "żółw"],
)
def test_text_stays_text(helm: Helm, text: str) -> None:
    """Whatever one of the two YAML dialects may take it for."""
    documents = helm.render(values={"config": {"broker": {"kafka": {"username": text}}}})
    assert config_of(documents)["broker"]["kafka"]["username"] == text


def test_a_changed_config_rolls_workers_and_exporter(helm: Helm) -> None:
    def sums(values: Document) -> list[str]:
        documents = helm.render(("oci-queue",), values)
        both = [the(documents, "Deployment", suffix) for suffix in ("", "-exporter")]
        return [one["spec"]["template"]["metadata"]["annotations"]["checksum/config"] for one in both]

    assert sums({}) == sums({"podLabels": {"a": "b"}})
    assert not set(sums({})) & set(sums({"config": {"worker": {"drain_s": 200.0}}}))


def test_grace_is_pre_stop_and_drain_and_hand_back(helm: Helm) -> None:
    default = worker_pod(helm.render())["terminationGracePeriodSeconds"]
    assert default == WorkerSettings().drain_s + HAND_BACK_S
    values: Document = {"preStopSeconds": 7, "config": {"worker": {"drain_s": 90.5}}}
    pod = worker_pod(helm.render(values=values))
    assert pod["terminationGracePeriodSeconds"] == 7 + 91 + HAND_BACK_S
    assert pod["containers"][0]["lifecycle"] == {"preStop": {"sleep": {"seconds": 7}}}
    assert (
        worker_pod(helm.render(values={"terminationGracePeriodSeconds": 900}))["terminationGracePeriodSeconds"] == 900
    )


@pytest.mark.parametrize("values", SWITCHES.values(), ids=SWITCHES)
def test_every_pod_meets_the_restricted_standard_and_writes_only_to_volumes(helm: Helm, values: Document) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, restricted."""
    volumes = {
        "configMap",
        "emptyDir",
        "persistentVolumeClaim",
        "secret",
        "projected",
        "csi",
        "downwardAPI",
        "ephemeral",
    }
    made = pods(helm.render(("kafka-managed",), values))
    assert set(made) == {"worker", "exporter", "test"}
    for spec in (pod["spec"] for pod in made.values()):
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {kind for volume in spec["volumes"] for kind in volume} - {"name"} <= volumes
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            assert container["securityContext"] == {
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not [port for port in container.get("ports", []) if "hostPort" in port]


def test_every_container_is_bounded_in_memory(helm: Helm) -> None:
    """A GPU is asked for as a limit alone: Kubernetes makes it the request too."""
    for pod in pods(helm.render(("kafka-managed",))).values():
        for container in [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]:
            assert container["resources"]["limits"]["memory"], container["name"]
            assert "nvidia.com/gpu" not in container["resources"]["requests"]
            assert ("nvidia.com/gpu" in container["resources"]["limits"]) is (container["name"] == "worker")
        for volume in pod["spec"]["volumes"]:
            assert volume.get("emptyDir", {"sizeLimit": ""})["sizeLimit"] is not None


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
            },
        }
    ]
    assert spec["fallback"] == {"failureThreshold": 4, "replicas": 1, "behavior": "currentReplicasIfHigher"}


def test_large_numbers_stay_whole(helm: Helm) -> None:
    values: Document = {
        "autoscaling": {"messagesPerWorker": 2_000_000},
        "monitoring": {"rules": {"retentionSeconds": 31_536_000}},
    }
    documents = helm.render(("oci-queue",), values)
    (trigger,) = the(documents, "ScaledObject")["spec"]["triggers"]
    assert trigger["metadata"]["targetValue"] == "2000000"
    assert "31536000" in str(the(documents, "PrometheusRule")["spec"])


def test_a_node_that_is_hardly_used_is_not_emptied_of_its_job(helm: Helm) -> None:
    made = pods(helm.render(("oci-queue",), SCALED_JOB))
    key = "cluster-autoscaler.kubernetes.io/safe-to-evict"
    assert made["worker"]["metadata"]["annotations"][key] == "false"
    assert key not in made["exporter"]["metadata"]["annotations"]


def test_a_claim_for_reading_is_mounted_for_reading(helm: Helm) -> None:
    def volume(values: Document) -> Document:
        (found,) = (one for one in worker_pod(helm.render(values=values))["volumes"] if one["name"] == "models")
        claim: Document = found["persistentVolumeClaim"]
        return claim

    assert volume(CLAIMED) == {"claimName": f"{NAME}-models", "readOnly": False}
    reading: Document = {
        "modelCache": {
            "kind": "claim",
            "existingClaim": "mine",
            "accessModes": ["ReadOnlyMany"],
            "fetch": {"enabled": False},
        }
    }
    assert volume(reading) == {"claimName": "mine", "readOnly": True}


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


def test_the_exporter_gets_a_token_only_to_ask_oci_queue(helm: Helm) -> None:
    def mounted(broker: str, values: Document) -> dict[str, bool]:
        made = pods(helm.render((broker,), values))
        return {component: pod["spec"]["automountServiceAccountToken"] for component, pod in made.items()}

    assert mounted("oci-queue", {}) == {"worker": True, "exporter": True, "test": True}
    assert mounted("kafka-managed", {}) == {"worker": True, "exporter": False, "test": True}
    wanted: Document = {"serviceAccount": {"automountToken": True}}
    assert mounted("kafka-managed", wanted) == {"worker": True, "exporter": True, "test": True}


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
    hosts: Document = {
        "config": {"storage": {"allowed_sources": ["https://files.example:8443/calls/", "https://b.example/"]}}
    }
    assert ports((), hosts) == {53, 443, 8443}
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


def test_without_a_fallback_workers_are_left_as_they_are(helm: Helm) -> None:
    """By null: to Helm an empty map takes nothing away."""

    def told(fallback: Any) -> Any:
        documents = helm.render(("oci-queue",), {"autoscaling": {"fallback": fallback}})
        return the(documents, "ScaledObject")["spec"].get("fallback")

    assert told(None) is None
    assert told({}) == told({"replicas": 1})
