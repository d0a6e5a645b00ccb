"""What a Prometheus finds at a worker and at the exporter: the names and labels of every series."""

from collections.abc import Iterator, Mapping

import promql_parser

from transcriber_worker.observability.metrics import ALL_METRICS

TARGET_LABELS = frozenset({"namespace", "pod", "instance", "job"})
"""What the scrape itself attaches."""

Labels = Mapping[str, tuple[str, ...] | None]
"""Label -> its values; None where they are an open set."""


def _series() -> Iterator[tuple[str, Labels]]:
    for spec in ALL_METRICS:
        labels = {label.name: label.values for label in spec.labels}
        if spec.kind == "histogram":
            yield f"{spec.name}_bucket", {**labels, "le": None}
            yield f"{spec.name}_sum", labels
            yield f"{spec.name}_count", labels
        else:
            yield spec.name, labels


SERIES: Mapping[str, Labels] = dict(_series())


def problems(expression: str) -> list[str]:
    """What an expression names that nobody exports: metrics, labels, values of labels. Raises `ValueError` where it
    can't be parsed."""
    found: list[str] = []
    grouped: set[str] = set()
    known: set[str] = set(TARGET_LABELS)

    def look(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            grouped.update(node.modifier.labels)
        if isinstance(node, promql_parser.VectorSelector):
            labels = SERIES.get(str(node.name))
            known.update(labels or ())
            found.extend(_selector_problems(node, labels))

    promql_parser.walk(promql_parser.parse(expression), look)
    return [*found, *(f"nothing has the label {label}" for label in sorted(grouped - known))]


def _selector_problems(node: promql_parser.VectorSelector, labels: Labels | None) -> Iterator[str]:
    if labels is None:
        yield f"nobody exports {node.name}"
        return
    for matcher in node.matchers.matchers:
        if matcher.name in TARGET_LABELS:
            continue
        if matcher.name not in labels:
            yield f"{node.name} has no label {matcher.name}"
            continue
        values = labels[matcher.name]
        for value in matcher.value.split("|"):
            if values is not None and value not in values:
                yield f"{node.name}: {matcher.name} is never {value}"
