"""Releases to render: every sensible combination of value files, and values that turn everything on."""

import itertools

from tests.chart.tools import Document

BROKERS = ("kafka-oci-streaming", "kafka-managed", "oci-queue")
PROFILES = ("a10", "cpu-dev", "low-latency", "cost")
COMBINATIONS = [
    tuple(name for name in pair if name is not None) for pair in itertools.product((None, *BROKERS), (None, *PROFILES))
]
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
SWITCHES = {"all-on": ALL_ON, "jobs": SCALED_JOB, "claim": CLAIMED, "baked": BAKED}
