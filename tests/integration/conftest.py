"""What the tests of media processes share."""

from collections.abc import Iterator

import pytest

from tests.integration.media_pools import a_pool
from transcriber_worker.media.pool import MediaPool


@pytest.fixture
def pool() -> Iterator[MediaPool]:
    with a_pool() as pool:
        yield pool
