"""The images, built once for a test run, or a skip that says why they can't be."""

import pytest

from tests.image.building import Image, NotToBeHad, base, build


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
