"""The torch encoder on the CPU. Where torch is not installed, these tests are skipped with that as their reason."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.speech import MODELS
from transcriber_worker.inference.model_files import ModelFiles, resolve
from transcriber_worker.settings import ModelSettings

HERE = Path(__file__).parent
TORCH = importlib.util.find_spec("torch") is not None


class NotCollected(pytest.Module):
    """A file of tests that can't be imported here."""

    def collect(self) -> Iterator[pytest.Item]:
        pytest.skip("torch is not installed: pip install 'transcriber-worker[torch-encoder]'", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    if TORCH or module_path.parent != HERE:
        return None
    skipped: pytest.Module = NotCollected.from_parent(parent, path=module_path)
    return skipped


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Figures of the last digits depend on how sums are shared out."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def base_files() -> ModelFiles:
    return resolve(ModelSettings(cache_dir=MODELS), print)
