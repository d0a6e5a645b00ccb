"""The table of metrics: named as promised, bounded, and all that is exported."""

from prometheus_client import CollectorRegistry

from transcriber_worker.domain.errors import Reason
from transcriber_worker.observability.declaring import declared_in
from transcriber_worker.observability.labels import Ending, Stage, WorkerState
from transcriber_worker.observability.metrics import ALL_METRICS, Metrics, SampledMetrics


def test_names_are_unique_prefixed_and_say_what_they_count() -> None:
    names = [spec.name for spec in ALL_METRICS]

    assert len(names) == len(set(names))
    for spec in ALL_METRICS:
        assert spec.name.startswith("transcriber_")
        assert (spec.kind == "counter") == spec.name.endswith("_total")
        assert (spec.kind == "info") == spec.name.endswith("_info")
        assert (spec.kind == "histogram") == bool(spec.buckets)
        assert spec.help.endswith("."), spec.name


def test_buckets_rise() -> None:
    for spec in ALL_METRICS:
        assert list(spec.buckets) == sorted(set(spec.buckets)), spec.name


def test_no_label_can_name_a_job_a_tenant_or_a_file() -> None:
    unbounded = {"job", "job_id", "request_id", "tenant", "source", "file", "path", "uri", "bucket", "worker", "host"}

    assert unbounded.isdisjoint(label.name for spec in ALL_METRICS for label in spec.labels)


def test_every_exported_family_is_declared_and_the_other_way_round() -> None:
    registry = CollectorRegistry()
    Metrics(registry)

    exported = {
        family.name + {"counter": "_total", "info": "_info"}.get(family.type, "") for family in registry.collect()
    }

    assert exported == {spec.name for spec in declared_in(Metrics)}
    assert exported.isdisjoint(spec.name for spec in declared_in(SampledMetrics))


def test_an_exported_family_carries_its_declared_help_and_type() -> None:
    registry = CollectorRegistry()
    Metrics(registry)

    families = {family.name: family for family in registry.collect()}

    assert families["transcriber_stage_seconds"].type == "histogram"
    assert families["transcriber_stage_seconds"].documentation == Metrics.stage_seconds.spec.help


def test_a_closed_label_starts_with_every_series_at_zero() -> None:
    registry = CollectorRegistry()
    Metrics(registry)

    for ending in Ending:
        assert registry.get_sample_value("transcriber_jobs_finished_total", {"outcome": ending}) == 0
    for reason in Reason:
        assert registry.get_sample_value("transcriber_dead_letters_total", {"reason": reason}) == 0
    for stage in Stage:
        assert registry.get_sample_value("transcriber_stage_seconds_count", {"stage": stage}) == 0
    assert registry.get_sample_value("transcriber_retries_total", {"error": "RetryJob"}) is None


def test_an_attribute_is_the_metric_of_its_own_registry() -> None:
    first, second = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())

    first.jobs_finished.labels(outcome=Ending.COMPLETED).inc()
    first.stage_seconds.labels(stage=Stage.DOWNLOAD).observe(0.3)
    first.worker_state.labels(state=WorkerState.RUNNING).set(1)

    name, labels = "transcriber_jobs_finished_total", {"outcome": "completed"}
    assert first.registry.get_sample_value(name, labels) == 1
    assert second.registry.get_sample_value(name, labels) == 0
    within = {"stage": "download", "le": "0.5"}
    assert first.registry.get_sample_value("transcriber_stage_seconds_bucket", within) == 1


def test_the_build_is_told_from_the_start() -> None:
    registry = CollectorRegistry()
    Metrics(registry)

    (sample,) = next(family for family in registry.collect() if family.name == "transcriber_build").samples

    assert set(sample.labels) == {"version", "python"}
    assert sample.value == 1
