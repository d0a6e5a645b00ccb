"""What the package sets before any library is imported."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

_SWITCHES = ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY", "DISABLE_TELEMETRY", "DO_NOT_TRACK", "HF_HUB_OFFLINE")
_AS_LIBRARIES_READ_IT = """
import json, os
import {first}
import hf_xet
from huggingface_hub import constants
config = dict(hf_xet.XetConfig().items())
print(json.dumps({{
    "onnxruntime": os.environ.get("ORT_DISABLE_TELEMETRY") != "1",
    "huggingface_hub": not constants.HF_HUB_DISABLE_TELEMETRY,
    "hf_xet": config["telemetry.enabled"],
    "chunk cache": config["chunk_cache.size_bytes"],
}}))
"""


def in_a_new_process(first: str, **environment: str) -> dict[str, Any]:
    """What libraries make of the environment, where `first` is imported first."""
    clean = {name: value for name, value in os.environ.items() if name not in _SWITCHES and "HF_XET" not in name}
    program = _AS_LIBRARIES_READ_IT.format(first=first)
    done = subprocess.run(
        [sys.executable, "-c", program], env={**clean, **environment}, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def ours() -> dict[str, Any]:
    return in_a_new_process("transcriber_worker.inference.model_sources")


def test_libraries_that_carry_telemetry_have_it_switched_off(ours: dict[str, Any]) -> None:
    assert {name: ours[name] for name in ("onnxruntime", "huggingface_hub", "hf_xet")} == {
        "onnxruntime": False,
        "huggingface_hub": False,
        "hf_xet": False,
    }


def test_they_would_tell_otherwise() -> None:
    """Or the test above would hold for nothing: there is something to switch off."""
    assert in_a_new_process("os")["hf_xet"] is True


def test_a_switch_of_hf_xets_own_does_not_undo_it() -> None:
    assert in_a_new_process("transcriber_worker", HF_XET_TELEMETRY_ENABLED="1")["hf_xet"] is False


def test_a_fetch_keeps_no_second_copy_in_the_home(ours: dict[str, Any]) -> None:
    """The chart gives a fetching container 256 MiB for its home. Xet's own default is a cache of up to 10 GB; the wheel
    that the lock pins is built without."""
    assert ours["chunk cache"] == 0
