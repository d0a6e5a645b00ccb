"""What a worker's attempts make of deliveries, whatever broker brings them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.broker_contract import BrokerHarness, take, take_from_any, take_nothing
from tests.contract.payloads import malformed
from tests.workbench import Workbench
from transcriber_worker.brokers.base import Broker
from transcriber_worker.domain.errors import Reason
from transcriber_worker.messages.dead_letter import DeadLetter
from transcriber_worker.observability.labels import Ending
from transcriber_worker.pipeline.milestones import Milestone

MALFORMED = 1000


class PipelineContract:
    """Subclass it with a `harness` fixture."""

    largest_body_bytes = 2**30
    """What the broker itself can carry."""

    @pytest.fixture
    def worker(self, harness: BrokerHarness) -> Broker:
        return harness.connect()

    @pytest.fixture
    def bench(self, worker: Broker, tmp_path: Path) -> Iterator[Workbench]:
        """Attempts over this broker; the store and the job records are a directory's."""
        bench = Workbench(tmp_path / "bench", carrier=worker)
        self.source(bench).write_bytes(b"2")
        yield bench
        bench.close()

    def source(self, bench: Workbench) -> Path:
        return bench.folder / "spool" / "audio" / "call.wav"

    def request(self, bench: Workbench, **fields: object) -> bytes:
        return json.dumps({"version": 1, "source": self.source(bench).as_uri(), **fields}).encode()

    def test_a_request_becomes_a_transcript_and_an_event(
        self, harness: BrokerHarness, worker: Broker, bench: Workbench
    ) -> None:
        worker.publish(self.request(bench, attributes={"tenant": "a"}), {})
        (delivery,) = take(harness, worker, 1)

        assert bench.attend(delivery).ending is Ending.COMPLETED

        (event,) = map(json.loads, harness.results())
        assert (event["type"], event["data"]["attributes"]) == ("transcription.completed", {"tenant": "a"})
        take_nothing(harness, worker)

    def test_a_request_sent_twice_has_one_answer(
        self, harness: BrokerHarness, worker: Broker, bench: Workbench
    ) -> None:
        for _ in range(2):
            worker.publish(self.request(bench), {})

        endings = [bench.attend(delivery).ending for delivery in take(harness, worker, 2)]

        assert endings == [Ending.COMPLETED, Ending.ALREADY_DONE]
        assert len(harness.results()) == 1
        take_nothing(harness, worker)

    def test_what_another_living_worker_holds_waits_and_is_answered_with_it(
        self, harness: BrokerHarness, worker: Broker, bench: Workbench
    ) -> None:
        """The message was delivered twice, or its partition moved while the job ran."""
        for _ in range(2):
            worker.publish(self.request(bench), {})
        first, second = take(harness, worker, 2)
        met: list[Ending | None] = []

        def meet(milestone: Milestone) -> None:
            if milestone is Milestone.WINDOW_HEARD and not met:
                met.append(None)
                met.append(bench.attend(second, bench.worker("w2")).ending)

        bench.on_milestone = meet
        assert bench.attend(first).ending is Ending.COMPLETED
        assert met == [None, Ending.HELD_ELSEWHERE]

        assert bench.attend(second, bench.worker("w2")).ending is Ending.ALREADY_DONE
        assert len(harness.results()) == 1
        take_nothing(harness, worker)

    def test_a_failure_is_tried_again_and_then_dead_lettered(
        self, harness: BrokerHarness, worker: Broker, bench: Workbench
    ) -> None:
        self.source(bench).write_bytes(b"flaky")
        message_id = worker.publish(self.request(bench), {})
        endings = []
        for _ in range(bench.settings.worker.max_attempts):
            (delivery,) = take_from_any(harness, [worker], 1)
            assert delivery.message.id == message_id
            outcome = bench.attend(delivery)
            endings.append(outcome.ending)
            harness.pass_time((outcome.delay_s or 0.0) + 1)

        assert endings == [Ending.RETRIED] * (len(endings) - 1) + [Ending.DEAD_LETTERED]
        (letter,) = worker.dead_letters.list()
        assert DeadLetter.from_bytes(letter.body).reason is Reason.TOO_MANY_ATTEMPTS
        take_nothing(harness, worker)

    @pytest.mark.timeout(600)
    def test_a_thousand_malformed_messages_are_dead_lettered_and_block_nobody(
        self, harness: BrokerHarness, worker: Broker, bench: Workbench
    ) -> None:
        bodies = [body for body in malformed(MALFORMED) if len(body) <= self.largest_body_bytes]
        assert len(bodies) > 0.97 * MALFORMED
        outcomes = []
        for start in range(0, len(bodies), 50):
            batch = bodies[start : start + 50]
            for body in batch:
                worker.publish(body, {})
            outcomes += [bench.attend(delivery) for delivery in take(harness, worker, len(batch))]
        worker.publish(self.request(bench), {})

        assert {outcome.ending for outcome in outcomes} == {Ending.DEAD_LETTERED}
        assert bench.attend(take(harness, worker, 1)[0]).ending is Ending.COMPLETED
        letters = [DeadLetter.from_bytes(letter.body) for letter in worker.dead_letters.list()]
        assert len(letters) == len(bodies)
        assert all(letter.message and letter.origin for letter in letters)
        assert {letter.reason for letter in letters} <= {Reason.INVALID_REQUEST, Reason.SOURCE_NOT_ALLOWED}
        take_nothing(harness, worker)
