"""The rules of a HorizontalPodAutoscaler (autoscaling/v2) with one external metric of type AverageValue.

They are those of "Horizontal Pod Autoscaling" in Kubernetes' documentation (algorithm details, configurable scaling
behavior), with what it leaves open taken from pkg/controller/podautoscaler: `GetExternalPerPodMetricReplicas` of
replica_calculator.go; `reconcileAutoscaler`, `stabilizeRecommendationWithBehaviors`,
`convertDesiredReplicasWithBehaviorRate` and the two functions for its limits of horizontal.go. Pods are taken to be
made and ended at once, so that the status shows what the spec asks for.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

SYNC_S = 15.0
"""--horizontal-pod-autoscaler-sync-period, by default."""
TOLERANCE = 0.1
"""--horizontal-pod-autoscaler-tolerance, by default."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How much may change within a period."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_s: float


@dataclass(frozen=True, slots=True)
class Rules:
    """One direction."""

    window_s: float
    policies: tuple[Policy, ...]
    select: Literal["Max", "Min", "Disabled"] = "Max"

    @classmethod
    def parse(cls, fields: Mapping[str, Any], default: "Rules") -> "Rules":
        """`behavior.scaleUp` or `.scaleDown`; what it leaves out is Kubernetes' default."""
        policies = tuple(
            Policy(policy["type"], policy["value"], policy["periodSeconds"]) for policy in fields.get("policies", ())
        )
        window_s = fields.get("stabilizationWindowSeconds", default.window_s)
        return cls(window_s, policies or default.policies, fields.get("selectPolicy", default.select))


@dataclass(frozen=True, slots=True)
class Behavior:
    """`spec.behavior`."""

    up: Rules
    down: Rules

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> "Behavior":
        return cls(Rules.parse(fields.get("scaleUp", {}), UP), Rules.parse(fields.get("scaleDown", {}), DOWN))


UP = Rules(0.0, (Policy("Percent", 100, 15.0), Policy("Pods", 4, 15.0)))
DOWN = Rules(300.0, (Policy("Percent", 100, 15.0),))
"""Kubernetes' defaults."""


def proposal(total: float, target: float, replicas: int) -> int:
    """How many replicas a metric asks for: each is to have `target` of the `total`; near enough is left as it is."""
    if abs(1.0 - total / (target * replicas)) <= TOLERANCE:
        return replicas
    return math.ceil(total / target)


@dataclass(frozen=True, slots=True)
class Timed:
    """A recommendation, or by how many the replicas were changed."""

    at_s: float
    number: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many replicas the HPA asks for, and what decided it."""

    replicas: int
    why: str


class HorizontalAutoscaler:
    """One HPA, asked by `sync` every `SYNC_S`."""

    def __init__(self, behavior: Behavior, target: float, least: int, most: int) -> None:
        self._behavior = behavior
        self._target = target
        self._least = least
        self._most = most
        self._recommended: list[Timed] = []
        self._added: list[Timed] = []
        self._removed: list[Timed] = []

    def sync(self, now_s: float, replicas: int, total: float | None) -> Verdict:
        """`total`: the metric; None while it can't be had. With no replica at all the HPA does nothing."""
        if not self._recommended:
            self._recommended.append(Timed(now_s, replicas))
        if replicas == 0:
            return Verdict(0, "")
        if not self._least <= replicas <= self._most:
            verdict = Verdict(min(max(replicas, self._least), self._most), "out of bounds")
        elif total is None:
            return Verdict(replicas, "no metric, no change")
        else:
            asked = proposal(total, self._target, replicas)
            held = self._stabilized(now_s, replicas, asked)
            verdict = self._limited(now_s, replicas, asked, held)
        if (change := verdict.replicas - replicas) != 0:
            (self._added if change > 0 else self._removed).append(Timed(now_s, abs(change)))
        return verdict

    def _stabilized(self, now_s: float, replicas: int, asked: int) -> int:
        """Up not further than the lowest recommendation of one window, down not below the highest of the other."""
        up, down = self._behavior.up.window_s, self._behavior.down.window_s
        lowest = min([asked, *_since(now_s - up, self._recommended)])
        highest = max([asked, *_since(now_s - down, self._recommended)])
        self._recommended = [one for one in self._recommended if one.at_s >= now_s - max(up, down)]
        self._recommended.append(Timed(now_s, asked))
        return min(max(replicas, lowest), highest)

    def _limited(self, now_s: float, replicas: int, asked: int, held: int) -> Verdict:
        if held > replicas:
            limit = max(replicas, self._limit(now_s, replicas, self._behavior.up, _raised, max, min))
            number = min(held, limit, self._most)
        elif held < replicas:
            limit = min(replicas, self._limit(now_s, replicas, self._behavior.down, _lowered, min, max))
            number = max(held, limit, self._least)
        else:
            number = held
        return Verdict(number, self._reason(asked, held, number))

    def _reason(self, asked: int, held: int, number: int) -> str:
        if number == asked:
            return f"{asked} asked for"
        if held != asked:
            direction = self._behavior.down if held > asked else self._behavior.up
            text = f"{asked} asked for, window of {direction.window_s:g} s"
            return text if number == held else f"{text}, policy"
        bounds = {self._most: "the maximum", self._least: "the minimum"}
        return f"{asked} asked for, {bounds.get(number, 'policy')}"

    def _limit(
        self,
        now_s: float,
        replicas: int,
        rules: Rules,
        changed: Callable[[int, Policy], int],
        most_change: Callable[[Iterable[int]], int],
        least_change: Callable[[Iterable[int]], int],
    ) -> int:
        """As far as the policies let it go: each counts from what there was when its period began."""
        if rules.select == "Disabled":
            return replicas
        proposals = []
        for policy in rules.policies:
            since_s = now_s - policy.period_s
            began = replicas - sum(_since(since_s, self._added)) + sum(_since(since_s, self._removed))
            proposals.append(changed(began, policy))
        return (most_change if rules.select == "Max" else least_change)(proposals)


def _since(cutoff_s: float, timed: Sequence[Timed]) -> list[int]:
    return [one.number for one in timed if one.at_s > cutoff_s]


def _raised(replicas: int, policy: Policy) -> int:
    if policy.kind == "Pods":
        return replicas + policy.value
    return math.ceil(replicas * (1 + policy.value / 100))


def _lowered(replicas: int, policy: Policy) -> int:
    if policy.kind == "Pods":
        return replicas - policy.value
    return int(replicas * (1 - policy.value / 100))
