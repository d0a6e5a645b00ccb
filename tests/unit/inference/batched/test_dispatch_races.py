"""Everything at once."""

import random
import threading
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.rows import PLAIN, STAMPED, a_row
from tests.scripted_engine import NO_MEMORY, TIMEOUT_S, Engine, Model, echo
from transcriber_worker.domain.cancel import CancelToken
from transcriber_worker.domain.errors import HandBack, JobCancelled, WorkerBroken
from transcriber_worker.inference.batched.desk import Desk
from transcriber_worker.inference.batched.rows import Decoded, Row

FILES = 6
ROWS = 30


class Storm:
    """Files that ask, ask again, are cancelled and left, batches that fail in every way, and the engine's end."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = random.Random(seed)
        self.lock = threading.Lock()
        self.asked = 0
        self.answers: Counter[int] = Counter()
        self.together = threading.Barrier(FILES + 1)
        self.engine = Engine(Model(self.decode), workers=3, cap=4, share=bool(seed % 2))

    def decode(self, rows: Sequence[Row]) -> list[Decoded]:
        with self.lock:
            luck = self.dice.random()
        if luck < 0.1:
            raise NO_MEMORY
        if luck < 0.2:
            raise ValueError("a strange row")
        if luck < 0.21:
            raise WorkerBroken("dead context")
        return echo(rows)

    def ask(self, desk: Desk, dice: random.Random, *, twice: bool) -> None:
        with self.lock:
            self.asked += 1
            number = self.asked

        def then(outcome: Decoded | Exception) -> None:
            with self.lock:
                self.answers[number] += 1
            if twice:
                self.ask(desk, dice, twice=False)

        desk.decode(a_row(dice.choice((PLAIN, STAMPED))), then, again=not twice)

    def file(self, number: int) -> None:
        dice, token = random.Random(1000 * self.seed + number), CancelToken()
        self.together.wait(TIMEOUT_S)
        try:
            desk = self.engine.open(str(number), token)
        except (WorkerBroken, HandBack):
            return
        for _ in range(ROWS):
            self.ask(desk, dice, twice=dice.random() < 0.5)
            if dice.random() < 0.02:
                token.cancel(JobCancelled("by the user"))
        if dice.random() < 0.5:
            desk.leave()

    def end(self) -> None:
        self.together.wait(TIMEOUT_S)
        for _ in range(self.seed * 4):
            try:
                self.engine.open("passer-by").leave()
            except WorkerBroken:
                break
        self.engine.dispatcher.close()


@pytest.mark.parametrize("seed", range(12))
def test_every_row_is_answered_exactly_once_whatever_happens_at_the_same_time(seed: int) -> None:
    storm = Storm(seed)
    storm.engine.dispatcher.start()
    threads = [threading.Thread(target=storm.file, args=(number,)) for number in range(FILES)]
    threads.append(threading.Thread(target=storm.end))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert not any(thread.is_alive() for thread in [*threads, *storm.engine.dispatcher._threads])
    assert storm.answers == Counter(dict.fromkeys(range(1, storm.asked + 1), 1))
