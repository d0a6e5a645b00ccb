"""The images, built once for a test run, or a skip that says why they can't be."""

from pathlib import Path

import pytest

from tests.chaos.processes import free_port
from tests.image.building import PROJECT, Image, NotToBeHad, base, build
from tests.image.containers import RECORDINGS, volumes


@pytest.fixture(scope="session")
def base_image() -> str:
    try:
        return base()
    except NotToBeHad as reason:
        pytest.skip(f"no image can be built here: {reason}")


@pytest.fixture(scope="session")
def worker(base_image: str) -> Image:
    return build("worker", base_image)


@pytest.fixture(scope="session")
def exporter(base_image: str) -> Image:
    return build("exporter", base_image)


@pytest.fixture
def model() -> Path:
    """The small model, fetched as `make demo` does; the containers have no network for it."""
    folder = PROJECT / ".models"
    if not (folder / "base" / "model.bin").is_file():
        from transcriber_worker.domain.errors import WorkerBroken
        from transcriber_worker.inference.model_files import resolve
        from transcriber_worker.settings import ModelSettings

        try:
            resolve(ModelSettings(cache_dir=folder), print)
        except WorkerBroken as error:
            pytest.skip(str(error))
    return folder


@pytest.fixture
def box(tmp_path: Path) -> list[str]:
    """Options for containers that share a spool and transcripts, as on one machine; they fetch nothing."""
    settings = {
        "MODEL__OFFLINE": "true", "OBSERVABILITY__HTTP_PORT": str(free_port()), "EXPORTER__HTTP_PORT": str(free_port()),
        "EXPORTER__INTERVAL_S": "0.5", "WORKER__DRAIN_S": "120",
    }  # fmt: skip
    recordings = f"--volume={RECORDINGS}:/recordings:ro"
    return [*volumes(tmp_path), recordings, *(f"--env=TRANSCRIBER__{name}={value}" for name, value in settings.items())]


@pytest.fixture
def models(model: Path) -> str:
    """The option that mounts the models, for reading only."""
    return f"--volume={model}:/models:ro"
