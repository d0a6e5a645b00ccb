"""Another base than that of the other tests: with a newer Python, whose lock is taken then."""

import pytest

from tests.image.building import Image, NotToBeHad, build, distribution
from tests.image.containers import CONFIG, call
from tests.image.distributions import installed, locked
from transcriber_worker import __version__

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def on_debian_13() -> Image:
    try:
        base = distribution("trixie")
    except NotToBeHad as reason:
        pytest.skip(f"no image can be built here: {reason}")
    return build("exporter", base)


def test_debian_13_has_python_3_13_and_so_its_lock(on_debian_13: Image) -> None:
    found = installed(on_debian_13)
    assert found.python_version.startswith("3.13.")
    assert found.versions == {**locked("exporter", found.python_version), "transcriber-worker": __version__}


def test_the_program_runs_there(on_debian_13: Image, box: list[str]) -> None:
    assert __version__ in call(on_debian_13, "--version")
    no_model = "--env=TRANSCRIBER__MODEL__NAME=fake"
    assert "good" in call(on_debian_13, "check-config", "--config", CONFIG, options=[*box, no_model])
