"""What the chart refuses, in words that name the value."""

from typing import Any

import pytest

from tests.chart.tools import Helm, Refused
from transcriber_worker.settings import WorkerSettings
from transcriber_worker.worker.loop import HAND_BACK_S

DRAIN_S = round(WorkerSettings().drain_s)
GRACE_S = round(DRAIN_S + HAND_BACK_S)
OUT: dict[str, Any] = {"storage": {"output": "oci://t@n/"}}


def kafka(**more: Any) -> dict[str, Any]:
    """Values with Kafka and Object Storage, and more."""
    broker = {"kind": "kafka", "kafka": {"bootstrap_servers": "k:9092", "topic": "t", **more.pop("kafka", {})}}
    config = more.pop("config", {})
    return {**more, "config": {"broker": broker, **OUT, **config}}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    # An unknown key, and values of another kind: by the schema.
    "unknown value": ({"replicaCount": 3}, "additional properties 'replicaCount' not allowed"),
    "unknown value below": ({"image": {"name": "x"}}, "at '/image': additional properties 'name'"),
    "unknown setting": ({"config": {"engine": {"batch": 3}}}, "at '/config/engine': additional properties 'batch'"),
    "setting out of bounds": ({"config": {"model": {"beam_size": 0}}}, "at '/config/model/beam_size'"),
    "setting of another kind": ({"config": {"broker": {"kind": "rabbit"}}}, "at '/config/broker/kind'"),
    "a secret in the config": (kafka(kafka={"password": "hunter2"}), "at '/config/broker/kafka/password'"),
    "not a number": ({"workload": {"replicas": "two"}}, "at '/workload/replicas': got string, want integer"),
    "no size": ({"scratch": {"size": "much"}}, "at '/scratch/size': 'much' does not match"),
    # Combinations.
    "more workers than partitions": (kafka(kafkaPartitions=3, workload={"replicas": 4}),
                                     "workload.replicas (4) is above kafkaPartitions (3)"),
    "scaled above the partitions": (kafka(kafkaPartitions=3, autoscaling={"enabled": True}),
                                    "autoscaling.maxReplicas (4) is above kafkaPartitions (3)"),
    "partitions unknown": (kafka(autoscaling={"enabled": True}), "kafkaPartitions is not set"),
    "least above most": (kafka(kafkaPartitions=9, autoscaling={"enabled": True, "minReplicas": 5}),
                         "autoscaling.minReplicas (5) is above autoscaling.maxReplicas (4)"),
    "fallback above most": (kafka(kafkaPartitions=9, autoscaling={"enabled": True, "fallback": {"replicas": 5}}),
                            "autoscaling.fallback.replicas (5) is above autoscaling.maxReplicas (4)"),
    "jobs that nothing starts": ({"workload": {"kind": "ScaledJob"}},
                                 "workload.kind ScaledJob needs autoscaling.enabled"),
    "jobs that exit too soon": (kafka(kafkaPartitions=9, autoscaling={"enabled": True}, workload={"kind": "ScaledJob"}),
                                "config.worker.exit_when_idle_s (5) must be above "
                                "config.broker.kafka.session_timeout_s (45)"),
    "kafka's lag without kafka": ({"autoscaling": {"enabled": True, "trigger": "kafka"}},
                                  "autoscaling.trigger kafka does not fit config.broker.kind directory"),
    "a backlog that nobody tells": ({"autoscaling": {"enabled": True}},
                                    "autoscaling.trigger backlog needs the exporter"),
    "scaling without the password": (kafka(kafkaPartitions=9, autoscaling={"enabled": True},
                                           kafka={"security_protocol": "sasl_ssl", "username": "u"}),
                                     "autoscaling.triggerAuthentication.secretTargetRef lacks the parameter password"),
    "a password that nobody mounts": (kafka(kafka={"password": "file:/etc/kafka/password"}),
                                      "config.broker.kafka.password file:/etc/kafka/password lies in nothing"),
    "a key that nobody mounts": (kafka(kafka={"certificate_file": "/tls/a/crt", "key_file": "/tls/b/key"},
                                       secrets=[{"name": "tls", "mountPath": "/tls/a"}]),
                                 "config.broker.kafka.key_file /tls/b/key lies in nothing that is mounted"),
    "cache of one node": (kafka(kafkaPartitions=9, workload={"replicas": 2},
                                modelCache={"kind": "claim", "accessModes": ["ReadWriteOnce"]}),
                          "modelCache.accessModes [ReadWriteOnce] is for one node"),
    "cache of one node that is written": (kafka(kafkaPartitions=9, workload={"replicas": 2}, modelCache={
        "kind": "claim", "accessModes": ["ReadWriteOnce", "ReadOnlyMany"]}),
                                          "modelCache.accessModes [ReadWriteOnce ReadOnlyMany] is for one node"),
    "fetching into a cache for reading": ({"modelCache": {"kind": "claim", "accessModes": ["ReadOnlyMany"]}},
                                          "modelCache.fetch.enabled can't write"),
    "an empty cache": ({"modelCache": {"kind": "claim", "fetch": {"enabled": False}}},
                       "modelCache.kind claim without existingClaim makes an empty one"),
    "spool of one node": ({"workload": {"replicas": 2}}, "data.accessModes [ReadWriteOnce] is for one pod"),
    "grace below drain": ({"terminationGracePeriodSeconds": GRACE_S - 1},
                          f"terminationGracePeriodSeconds ({GRACE_S - 1}) is below {GRACE_S}: preStopSeconds (0) + "
                          f"config.worker.drain_s ({DRAIN_S}) + {HAND_BACK_S:.0f} s of handing back"),
    "grace below a longer drain": ({"terminationGracePeriodSeconds": 600, "config": {"worker": {"drain_s": 900.0}}},
                                   "config.worker.drain_s (900)"),
    "scratch too small": ({"scratch": {"size": "10Gi"}},
                          "scratch.size (10Gi) is below config.worker.max_scratch_bytes (21474836480)"),
    "scratch on the root": ({"config": {"worker": {"scratch_dir": "scratch"}}},
                            "config.worker.scratch_dir scratch can't be"),
    "scratch in the cache": ({"config": {"worker": {"scratch_dir": "/models"}}},
                             "config.model.cache_dir is config.worker"),
    "output that does not last": ({"config": {"storage": {"output": "/transcripts"}}},
                                  "config.storage.output /transcripts does not lie on the data volume"),
    "spool that does not last": ({"config": {"broker": {"directory": {"path": "/spool"}}}},
                                 "config.broker.directory.path /spool does not lie on the data volume"),
    "probes that can't ask": ({"config": {"observability": {"http_host": "127.0.0.1"}}},
                              "config.observability.http_host 127.0.0.1 is heard inside the pod only"),
    "no port": ({"config": {"observability": {"http_port": 0}}}, "config.observability.http_port 0"),
    "no port of the exporter": (kafka(config={"exporter": {"http_port": 0}}), "config.exporter.http_port 0"),
    "cuda without a GPU": ({"config": {"model": {"device": "cuda"}}, "resources": {"limits": {"nvidia.com/gpu": None}}},
                           "config.model.device cuda needs a GPU"),
    "a GPU that idles": ({"config": {"model": {"device": "cpu"}}}, "config.model.device cpu leaves the GPU"),
    "two GPUs": ({"resources": {"limits": {"nvidia.com/gpu": 2}}}, "resources.limits asks for 2 GPUs"),
    "one name for several": (kafka(kafkaPartitions=9, workload={"replicas": 2}, config={"worker": {"id": "w"}}),
                             "config.worker.id is one name"),
    "one member for several": (kafka(kafkaPartitions=9, workload={"replicas": 2}, kafka={"group_instance_id": "w"}),
                               "config.broker.kafka.group_instance_id is one name"),
    "identity without a token": ({"config": {"oci": {"auth": "workload_identity"}, **OUT},
                                  "serviceAccount": {"automountToken": False}},
                                 "serviceAccount.automountToken false takes away the token"),
}  # fmt: skip


@pytest.mark.parametrize(("values", "message"), WRONG.values(), ids=WRONG)
def test_it_is_refused_by_name(helm: Helm, values: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as refused:
        helm.render(values=values)

    assert message in str(refused.value)


def test_what_the_chart_cant_do_without_is_missed_by_name(helm: Helm) -> None:
    """Helm takes a value away where it is null."""
    values: dict[str, Any] = {"exporter": None, "workload": {"replicas": None}, "data": {"accessModes": None}}

    with pytest.raises(Refused) as refused:
        helm.render(values=values)

    for problem in (
        "at '': missing property 'exporter'",
        "at '/workload': missing property 'replicas'",
        "at '/data': missing property 'accessModes'",
    ):
        assert problem in str(refused.value)


def test_all_that_is_wrong_is_told_at_once(helm: Helm) -> None:
    values = {"terminationGracePeriodSeconds": 1, "scratch": {"size": "1Gi"}, "workload": {"replicas": 2}}

    with pytest.raises(Refused) as refused:
        helm.render(values=values)

    for name in ("terminationGracePeriodSeconds", "scratch.size", "data.accessModes"):
        assert f"- {name}" in str(refused.value)


@pytest.mark.parametrize(
    "values",
    [
        kafka(kafkaPartitions=4, workload={"replicas": 4}),
        kafka(workload={"replicas": 1}),
        {"workload": {"replicas": 3}, "data": {"accessModes": ["ReadWriteMany"]}},
        {"terminationGracePeriodSeconds": GRACE_S},
        {"config": {"storage": {"output": "file:///data/out/"}}},
        {"scratch": {"size": "20Gi"}},
        {"scratch": {"size": "1Gi", "volume": {"hostPath": {"path": "/nvme"}}}},
        kafka(kafka={"password": "file:/k/password"}, secrets=[{"name": "k", "mountPath": "/k/"}]),
        kafka(
            kafka={"certificate_file": "/k/a", "key_file": "/k/b", "key_password": "env:KEY"},
            volumeMounts=[{"name": "k", "mountPath": "/k"}],
        ),
        {
            "config": {"model": {"device": "cuda"}},
            "resources": {"limits": {"nvidia.com/gpu": None, "nvidia.com/mig-2g.20gb": 1}},
        },
    ],
)
def test_what_just_fits_is_not_refused(helm: Helm, values: dict[str, Any]) -> None:
    assert helm.render(values=values)
