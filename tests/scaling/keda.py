"""KEDA's rules for a ScaledObject with one trigger, and the HPA that it makes.

KEDA itself does what goes from and to zero, every `pollingInterval`; between one and `maxReplicaCount` it only hands
the HPA a metric ("Scaling Deployments" and "ScaledObject specification" of its documentation). Details are those of
`RequestScale` in pkg/scaling/executor/scale_scaledobjects.go, pkg/fallback/fallback.go and, for Kafka, `getTotalLag`
in pkg/scalers/kafka_scaler.go.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tests.scaling.hpa import SYNC_S, Behavior, HorizontalAutoscaler

_EARLY_S = SYNC_S / 2
"""A poll that comes a little early is still that poll: recorded times are not round."""


class Release(Enum):
    """What became of `fallback` in the course of KEDA's releases."""

    FIRST_ERROR = "up to 2.16"
    """At the first poll that fails the Deployment is set to `fallback.replicas`, whatever runs: issue 6053."""
    AFTER_THRESHOLD = "2.17, 2.18"
    """Only the HPA is told, after `failureThreshold`, and it sleeps while there is no replica: issue 7239."""
    FROM_ZERO_TOO = "after 2.18"
    """The poll falls back too, so that it leads out of zero: pull request 7244, by its description."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """`spec.fallback`. `behavior` is known from 2.17 on."""

    failure_threshold: int
    replicas: int
    behavior: str = "static"

    def workers(self, current: int, release: Release) -> int:
        """How many there are to be, where `current` are."""
        match self.behavior if release is not Release.FIRST_ERROR else "static":
            case "static":
                return self.replicas
            case "currentReplicas":
                return current
            case "currentReplicasIfHigher":
                return max(self.replicas, current)
            case "currentReplicasIfLower":
                return min(self.replicas, current)
        raise ValueError(f"KEDA knows no fallback.behavior {self.behavior}")


@dataclass(frozen=True, slots=True)
class ScaledObject:
    """What the chart's `autoscaling` comes to."""

    target: float
    least: int
    most: int
    polling_s: float
    cooldown_s: float
    fallback: Fallback | None
    behavior: Behavior

    @classmethod
    def of(cls, autoscaling: Mapping[str, Any]) -> "ScaledObject":
        """From the section `autoscaling` of the chart's values."""
        fallback = autoscaling["fallback"]
        return cls(
            target=autoscaling["messagesPerWorker"],
            least=autoscaling["minReplicas"],
            most=autoscaling["maxReplicas"],
            polling_s=autoscaling["pollingInterval"],
            cooldown_s=autoscaling["cooldownPeriod"],
            fallback=Fallback(fallback["failureThreshold"], fallback["replicas"], fallback.get("behavior", "static"))
            if fallback
            else None,
            behavior=Behavior.parse(autoscaling["behavior"]),
        )


def kafka_metric(lag: int, bound: int, threshold: int) -> int:
    """What KEDA's Kafka trigger makes of a lag: no more than would keep `bound` workers busy. `bound`: the partitions
    with lag (limitToPartitionsWithLag), or all of them (allowIdleConsumers false)."""
    return bound * threshold if lag // threshold > bound else lag


@dataclass(frozen=True, slots=True)
class Decision:
    """How many workers there are from now on, and why."""

    replicas: int
    why: str


class Autoscaler:
    """KEDA and its HPA, told every `SYNC_S` what the trigger's source answers."""

    def __init__(self, scaled: ScaledObject, release: Release = Release.FROM_ZERO_TOO, replicas: int = 0) -> None:
        self._scaled = scaled
        self._release = release
        self._hpa = HorizontalAutoscaler(scaled.behavior, scaled.target, max(1, scaled.least), scaled.most)
        self._polled_at_s: float | None = None
        self._active_at_s: float | None = None
        self._failures = 0
        self.replicas = replicas

    def step(self, now_s: float, metric: float | None) -> Decision:
        """`metric`: what is left to do; None where the source gives an error or nothing."""
        if metric is not None:
            self._failures = 0
        if self._polled_at_s is None or now_s >= self._polled_at_s + self._scaled.polling_s - _EARLY_S:
            self._polled_at_s = now_s
            why = self._poll(now_s, metric)
            if why:
                return Decision(self.replicas, why)
        if metric is None and self.replicas > 0:
            self._failures += 1
            metric = self._fallen_back()
            verdict = self._hpa.sync(now_s, self.replicas, metric)
            self.replicas = verdict.replicas
            return Decision(self.replicas, f"HPA: {'' if metric is None else 'fallback, '}{verdict.why}")
        verdict = self._hpa.sync(now_s, self.replicas, metric)
        self.replicas = verdict.replicas
        return Decision(self.replicas, f"HPA: {verdict.why}" if verdict.why else "")

    def _poll(self, now_s: float, metric: float | None) -> str:
        """What KEDA does by itself; empty where that is nothing, and the HPA's word counts."""
        scaled, before = self._scaled, self.replicas
        if metric is None:
            return self._poll_failed(now_s)
        if metric > 0:
            self._active_at_s = now_s
            if before == 0:
                self.replicas = max(1, scaled.least)
                return "KEDA: something to do"
        elif before > 0 and scaled.least == 0:
            if self._active_at_s is None or self._active_at_s + scaled.cooldown_s < now_s:
                self.replicas = 0
                return f"KEDA: nothing for {scaled.cooldown_s:g} s"
        elif before < scaled.least:
            self.replicas = scaled.least
            return "KEDA: minReplicas"
        return ""

    def _poll_failed(self, now_s: float) -> str:
        fallback, before = self._scaled.fallback, self.replicas
        if fallback is None or fallback.replicas == 0:
            return ""
        if self._release is Release.FIRST_ERROR:
            self.replicas = fallback.replicas
            return "KEDA: fallback at the first error" if self.replicas != before else ""
        if self._release is Release.FROM_ZERO_TOO and before == 0:
            self._failures += 1
            if (self._fallen_back() or 0.0) > 0:
                self._active_at_s = now_s
                self.replicas = max(1, self._scaled.least)
                return "KEDA: fallback"
        return ""

    def _fallen_back(self) -> float | None:
        """The metric that stands in for the unknown one: as much as asks for the fallback's workers."""
        fallback = self._scaled.fallback
        if fallback is None or self._failures <= fallback.failure_threshold:
            return None
        return self._scaled.target * fallback.workers(self.replicas, self._release)
