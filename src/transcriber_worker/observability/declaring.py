"""How a metric is declared: one line of a table that is also the typed attribute its users see."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Generic, Literal, Self, TypeVar, overload

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

Kind = Literal["counter", "gauge", "histogram", "info"]
Built = TypeVar("Built", Counter, Gauge, Histogram, Info)


@dataclass(frozen=True, slots=True)
class Label:
    """A label and what it may say. `values` None: bounded by the code, too open to list; `meaning` says how."""

    name: str
    meaning: str
    values: tuple[str, ...] | None = None

    @classmethod
    def of(cls, name: str, values: type[StrEnum]) -> "Label":
        """A label whose values are the members of an enum and whose meaning is its docstring's first sentence."""
        meaning = " ".join((values.__doc__ or "").split()).partition(". ")[0].rstrip(".") + "."
        return cls(name, meaning, tuple(member.value for member in values))


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric: its full name as Prometheus shows it, and what it means."""

    name: str
    kind: Kind
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)


class Declared(Generic[Built]):
    """A metric declared in the body of a class; read from an instance it is the metric itself."""

    def __init__(self, spec: MetricSpec, build: Callable[[MetricSpec, CollectorRegistry], Built]) -> None:
        self.spec = spec
        self._build: Callable[[MetricSpec, CollectorRegistry], Built] = build
        self._attribute = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._attribute = f"_built_{name}"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> Built: ...

    def __get__(self, instance: object | None, owner: type) -> "Self | Built":
        if instance is None:
            return self
        metric: Built = getattr(instance, self._attribute)
        return metric

    def build_for(self, instance: object, registry: CollectorRegistry) -> None:
        """Make the metric in `registry`; series whose labels are closed sets start at zero, so that a first error is a
        rise and not a new series that `rate()` can't see."""
        metric = self._build(self.spec, registry)
        values = [label.values for label in self.spec.labels]
        if values and not isinstance(metric, Info):
            for combination in product(*(known for known in values if known is not None)):
                if len(combination) == len(values):
                    metric.labels(*combination)
        setattr(instance, self._attribute, metric)


def declared_in(owner: type) -> Iterator[MetricSpec]:
    """The table: every metric declared in the body of `owner`, in order."""
    for value in vars(owner).values():
        if isinstance(value, Declared):
            yield value.spec
        elif isinstance(value, MetricSpec):
            yield value


def build_all(instance: object, registry: CollectorRegistry) -> None:
    """Make every metric declared by the class of `instance`."""
    for value in vars(type(instance)).values():
        if isinstance(value, Declared):
            value.build_for(instance, registry)


def counter(name: str, help_: str, *labels: Label) -> Declared[Counter]:
    """A number that only rises; its name ends in `_total`."""
    return Declared(
        MetricSpec(name, "counter", help_, labels),
        lambda spec, registry: Counter(spec.name, spec.help, spec.label_names, registry=registry),
    )


def gauge(name: str, help_: str, *labels: Label) -> Declared[Gauge]:
    """A number that rises and falls."""
    return Declared(
        MetricSpec(name, "gauge", help_, labels),
        lambda spec, registry: Gauge(spec.name, spec.help, spec.label_names, registry=registry),
    )


def histogram(name: str, help_: str, buckets: Iterable[float], *labels: Label) -> Declared[Histogram]:
    """A distribution over `buckets` (upper bounds)."""
    return Declared(
        MetricSpec(name, "histogram", help_, labels, tuple(buckets)),
        lambda spec, registry: Histogram(
            spec.name, spec.help, spec.label_names, registry=registry, buckets=spec.buckets
        ),
    )


def info(name: str, help_: str, *labels: Label) -> Declared[Info]:
    """A series that is always 1 and says something in its labels; its name ends in `_info`."""
    return Declared(
        MetricSpec(name, "info", help_, labels),
        lambda spec, registry: Info(spec.name.removesuffix("_info"), spec.help, registry=registry),
    )
