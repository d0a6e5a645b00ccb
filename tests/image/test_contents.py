"""What is in the images, and what is not."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.image.building import PROJECT, Image, podman, tried
from tests.image.containers import USER, python
from tests.image.distributions import environment_of, installed, locked, normal
from transcriber_worker import __version__

WITHOUT_ENGINE = {"av", "ctranslate2", "faster-whisper", "huggingface-hub", "nvidia-ml-py", "onnxruntime"}
ENGINE_LIBRARIES = ("av", "ctranslate2", "faster_whisper", "nvidia", "onnxruntime", "tokenizers", "torch")
TARGETS = {"worker": "cuda", "exporter": "exporter"}
"""And the lock of each."""
ENVIRONMENT = "opt/transcriber-worker"
_WRITES = f"""
import errno, json, os
found = {{}}
for path in ("/x", "/{ENVIRONMENT}/x", "/tmp/x"):
    try:
        with open(path, "x"):
            found[path] = "written"
    except OSError as error:
        found[path] = errno.errorcode[error.errno]
memory = os.statvfs("/dev/shm")
found["shared memory, MiB"] = memory.f_blocks * memory.f_frsize / (1 << 20)
print(json.dumps(found))
"""


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def image(request: pytest.FixtureRequest, target: str) -> Image:
    found: Image = request.getfixturevalue(target)
    return found


@contextmanager
def files_of(name: str) -> Iterator[Path]:
    """An image's files, as a folder."""
    folder = Path(podman("image", "mount", name).strip())
    try:
        yield folder
    finally:
        podman("image", "unmount", name)


def test_every_installed_distribution_is_the_locks(image: Image, target: str) -> None:
    found = installed(image)
    assert found.versions == {**locked(TARGETS[target], found.python_version), "transcriber-worker": __version__}


def test_nothing_that_a_distribution_requires_is_missing_but_the_exporters_engine(image: Image, target: str) -> None:
    found = installed(image)
    missing = set()
    for text in found.required:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate(environment_of(found.python_version)):
            continue
        if normal(wanted.name) not in found.versions:
            missing.add(normal(wanted.name))
        else:
            assert wanted.specifier.contains(found.versions[normal(wanted.name)], prereleases=True), text
    assert missing == (WITHOUT_ENGINE if target == "exporter" else set())


def test_no_build_tool_cache_or_test_is_inside(image: Image) -> None:
    with files_of(image.name) as files:
        programs = {
            path.name
            for folder in ("usr/bin", "usr/local/bin", f"{ENVIRONMENT}/bin")
            for path in files.glob(f"{folder}/*")
        }
        assert "transcriber-worker" in programs
        assert programs.isdisjoint({"gcc", "cc", "g++", "ld", "make", "cmake", "git", "pip", "pip3", "uv", "hatchling"})
        packages = next(files.glob(f"{ENVIRONMENT}/lib/python3.*/site-packages"))
        assert not list(packages.glob("pip*")) + list(packages.glob("hatchling*")) + list(packages.glob("pytest*"))
        ours = [
            path.relative_to(files)
            for path in files.rglob("*")
            if path.name in {".git", "Dockerfile", "pyproject.toml"}
        ]
        assert [path for path in ours if "site-packages" not in path.parts] == []
        assert not list(packages.glob("tests")) + list(packages.glob("transcriber_worker/**/test*"))
        for emptied in (
            "root/.cache",
            "tmp",
            "var/lib/apt/lists",
            "var/cache/apt/archives",
            "build",
            "project",
            "wheel",
        ):
            left = [path for path in files.glob(f"{emptied}/*") if path.name not in {"lock", "partial"}]
            assert left == [], emptied


def test_the_build_leaves_no_folder_behind_but_those_for_volumes(image: Image, target: str) -> None:
    with files_of(image.name) as files, files_of(image.base) as before:
        assert {path.name for path in files.iterdir()} - {path.name for path in before.iterdir()} == {
            "data",
            "models",
            "scratch",
        }
        assert not (files / "etc" / "pip.conf").exists()
        owners = {name: (files / name).stat().st_uid for name in ("data", "models", "scratch", ENVIRONMENT)}
    assert owners == {"data": USER, "models": USER, "scratch": USER, ENVIRONMENT: 0}


def test_our_modules_are_compiled_and_need_no_look_at_their_sources(image: Image) -> None:
    with files_of(image.name) as files:
        package = next(files.glob(f"{ENVIRONMENT}/lib/python3.*/site-packages/transcriber_worker"))
        sources = sorted(package.rglob("*.py"))
        assert len(sources) > 100
        for source in sources:
            (compiled,) = (source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc")
            hashed_and_not_checked = int.from_bytes(compiled.read_bytes()[4:8], "little")
            assert hashed_and_not_checked == 0b01, source


def test_the_sources_are_the_repositorys_of_now_whatever_was_cached(image: Image) -> None:
    with files_of(image.name) as files:
        package = next(files.glob(f"{ENVIRONMENT}/lib/python3.*/site-packages/transcriber_worker"))
        installed = {path.relative_to(package): path.read_bytes() for path in package.rglob("*.py")}
    source = PROJECT / "src" / "transcriber_worker"
    assert installed == {path.relative_to(source): path.read_bytes() for path in source.rglob("*.py")}


def test_the_worker_has_one_cublas_that_any_process_finds_and_no_cudnn(worker: Image) -> None:
    program = (
        "import ctypes, json; lib = ctypes.CDLL('libcublas.so.12'); print(json.dumps(hasattr(lib, 'cublasGemmEx')))"
    )
    assert python(worker, program) is True
    with files_of(worker.name) as files:
        found = [path.name for path in files.rglob("libcu*.so*")]
    assert found.count("libcublas.so.12") == 1
    assert [name for name in found if name.startswith("libcudnn")] == []


def test_the_exporter_has_no_library_of_an_engine(exporter: Image) -> None:
    with files_of(exporter.name) as files:
        packages = next(files.glob(f"{ENVIRONMENT}/lib/python3.*/site-packages"))
        assert [name for name in ENGINE_LIBRARIES if (packages / name).exists()] == []
        assert list(files.rglob("libcu*.so*")) == []


def test_the_image_says_what_it_is_and_how_to_stop_it(image: Image, target: str) -> None:
    found: dict[str, Any] = image.inspect()
    config, prefix = found["Config"], "org.opencontainers.image."
    labels = {name.removeprefix(prefix): value for name, value in config["Labels"].items() if name.startswith(prefix)}
    assert labels["version"] == __version__
    assert labels["licenses"] == "Apache-2.0"
    assert tried("git", "merge-base", "--is-ancestor", labels["revision"], "HEAD").returncode == 0
    assert {"title", "description"} <= set(labels)
    assert config["User"] == f"{USER}:{USER}"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == ["transcriber-worker"]
    assert (found.get("HealthCheck") or found["Healthcheck"])["Test"][:3] == [
        "CMD",
        "transcriber-worker",
        "healthcheck",
    ]
    if target == "worker":
        assert {"ORT_DISABLE_TELEMETRY=1", "HF_HUB_DISABLE_TELEMETRY=1"} <= set(config["Env"])


def test_it_runs_without_any_privilege(worker: Image) -> None:
    status = python(
        worker,
        "import json; print(json.dumps(dict(line.split(':', 1) for line in open('/proc/self/status'))))",
    )
    assert set(status["Uid"].split() + status["Gid"].split()) == {str(USER)}
    assert (int(status["CapEff"], 16), int(status["NoNewPrivs"]), int(status["Seccomp"])) == (0, 1, 2)


def test_nothing_but_volumes_can_be_written_and_shared_memory_is_small(image: Image) -> None:
    assert python(image, _WRITES) == {
        "/x": "EROFS", f"/{ENVIRONMENT}/x": "EROFS", "/tmp/x": "written", "shared memory, MiB": 64.0,
    }  # fmt: skip
