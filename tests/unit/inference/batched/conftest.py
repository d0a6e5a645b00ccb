"""What several tests of the batching engine share."""

from collections.abc import Callable, Iterator

import pytest

from tests.scripted_engine import Engine, Model


@pytest.fixture
def engine_of() -> Iterator[Callable[..., Engine]]:
    """Makes engines that are closed at the end."""
    made: list[Engine] = []

    def make(model: Model, *, workers: int = 1, cap: int = 4, share: bool = False, max_batch_s: float = 1e9) -> Engine:
        made.append(Engine(model, workers=workers, cap=cap, share=share, max_batch_s=max_batch_s))
        return made[-1]

    yield make
    for engine in made:
        engine.dispatcher.close()
