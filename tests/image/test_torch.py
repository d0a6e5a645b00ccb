"""The image with PyTorch: gigabytes to fetch, so not in every run."""

from pathlib import Path

import pytest

from tests.image.building import Image, build
from tests.image.containers import RECORDINGS, call, python
from tests.image.distributions import installed, locked
from transcriber_worker import __version__

_BUILD_S = 3000.0
pytestmark = [pytest.mark.slow, pytest.mark.timeout(_BUILD_S + 300)]
_TORCH = """
import json, torch
print(json.dumps({"cuda": torch.version.cuda, "product": (torch.ones(2, 3) @ torch.ones(3, 2)).tolist()}))
"""
_CUBLAS = """
import json, os, re, subprocess, sysconfig
def found(pattern, *command):
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return sorted({os.path.realpath(path) for path in re.findall(pattern, said)})
torch = sysconfig.get_path("purelib") + "/torch/lib/libtorch_cuda.so"
print(json.dumps({
    "system": found(r"libcublas\\.so\\.12 .*=> (\\S+)", "/sbin/ldconfig", "-p"),
    "torch": found(r"libcublas\\.so\\.12 => (\\S+)", "/usr/bin/ldd", torch),
}))
"""


@pytest.fixture(scope="module")
def with_torch(base_image: str) -> Image:
    return build("worker-torch", base_image, within_s=_BUILD_S)


def test_every_distribution_is_the_locks(with_torch: Image) -> None:
    found = installed(with_torch)
    assert found.versions == {**locked("torch", found.python_version), "transcriber-worker": __version__}


def test_torch_is_for_cuda_12_and_computes(with_torch: Image) -> None:
    told = python(with_torch, _TORCH)
    assert told["cuda"].startswith("12.")
    assert told["product"] == [[3.0, 3.0], [3.0, 3.0]]


def test_torch_and_the_model_use_the_same_cublas(with_torch: Image) -> None:
    """CTranslate2 finds it as any library of the system, by its name."""
    told = python(with_torch, _CUBLAS)
    assert len(told["system"]) == 1
    assert told["torch"] == told["system"]


def test_the_demo_works(with_torch: Image, box: list[str], models: str, tmp_path: Path) -> None:
    name = "ferry-notice.wav"
    clip = f"--volume={RECORDINGS / name}:/clips/{name}:ro"
    options = [*box, models, clip, "--env=TRANSCRIBER__MODEL__CACHE_DIR=/models"]
    call(with_torch, "demo", "--folder", "/data/demo", "/clips", options=options)
    assert "ferry" in (tmp_path / "data" / "demo" / "transcripts" / f"{name}.txt").read_text()
