"""What a report says it was measured with."""

import importlib.metadata

import pytest

from transcriber_worker.app import bench


def test_torch_and_the_driver_are_named_where_they_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"torch": "2.8.0"}
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: installed.get(name) or version(name))
    monkeypatch.setattr(bench, "gpu_driver", lambda: "570.86.15")
    versions = bench.package_versions()
    assert (versions["torch"], versions["NVIDIA driver"]) == ("2.8.0", "570.86.15")
    assert {"Python", "faster-whisper", "ctranslate2"} < set(versions)


def test_what_is_not_there_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    version = importlib.metadata.version

    def without_torch(name: str) -> str:
        if name == "torch":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without_torch)
    monkeypatch.setattr(bench, "gpu_driver", lambda: None)
    assert not {"torch", "NVIDIA driver"} & set(bench.package_versions())
