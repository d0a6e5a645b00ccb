"""What a contender's process makes of its order."""

from dataclasses import replace
from pathlib import Path

from tests.builders import make_settings
from transcriber_worker.app.bench_child import settings_for, settings_of
from transcriber_worker.settings import EncoderKind
from transcriber_worker.tools.bench.contenders import Kind, Spec

OURS = Spec("batched", Kind.BATCHED, "ours", beam_size=2)


def test_a_contender_stands_for_an_encoder_a_device_and_a_compute_type(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    cpu = replace(OURS, device="cpu", compute_type="float32", encoder="torch")
    found = settings_for(cpu, settings)
    assert (found.model.device, found.model.compute_type, found.model.beam_size) == ("cpu", "float32", 2)
    assert found.engine.encoder is EncoderKind.TORCH


def test_what_it_does_not_stand_for_is_the_users(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    found = settings_for(OURS, settings)
    assert (found.model.device, found.model.compute_type) == (settings.model.device, settings.model.compute_type)
    assert found.engine.encoder is settings.engine.encoder


def test_another_model_than_the_settings_can_be_ordered() -> None:
    theirs = settings_of({"config": None, "model": None}).model
    ordered = settings_of({"config": None, "model": {"name": "/models/random", "sha256": "0" * 64}}).model
    assert (ordered.name, ordered.sha256) == ("/models/random", "0" * 64)
    assert ordered.device == theirs.device
