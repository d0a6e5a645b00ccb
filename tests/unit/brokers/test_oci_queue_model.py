"""The emulator's queue against a naive one: lists searched from end to end, and nothing remembered but facts."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.oci_emulator.queue_model import Count, Entry, QueueConfig, QueueModel, ReceiptRefused, Refusal, Stored

RETENTION_S = 100.0
NOW = 1_000_000.0
CHANNELS = (None, "a", "b")


@dataclass
class Fact:
    """A message as anybody would remember it."""

    id: int
    content: str
    channel: str | None
    born: float
    hidden_until: float
    receipts: list[str] = field(default_factory=list)
    deleted: bool = False
    dead: bool = False


class Naive:
    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.facts: list[Fact] = []

    def see(self, now: float) -> None:
        """Messages whose hiding has ended after their last allowed delivery are dead."""
        for fact in self.facts:
            if self.limit and len(fact.receipts) >= self.limit and fact.hidden_until <= now < fact.born + RETENTION_S:
                fact.dead = True

    def alive(self, now: float) -> list[Fact]:
        self.see(now)
        return [fact for fact in self.facts if not fact.deleted and not fact.dead and now < fact.born + RETENTION_S]

    def visible(self, now: float, channel: str | None) -> list[Fact]:
        return [fact for fact in self.alive(now) if fact.hidden_until <= now and fact.channel == channel]

    def holder(self, now: float, receipt: str) -> Fact | None:
        """The message in flight that this receipt was the last one of."""
        return next(
            (fact for fact in self.alive(now) if fact.receipts[-1:] == [receipt] and fact.hidden_until > now), None
        )


class QueueMachine(RuleBasedStateMachine):
    @initialize(limit=st.sampled_from([0, 1, 2, 5]), seed=st.integers(0, 99))
    def begin(self, limit: int, seed: int) -> None:
        self.now = NOW
        self.model = QueueModel(QueueConfig(retention_s=RETENTION_S, dead_letter_count=limit), seed)
        self.naive = Naive(limit)
        self.receipts: list[str] = []
        self.calls: list[Callable[[QueueModel], object]] = []
        self.replayed = QueueModel(self.model.config, seed)

    @rule(seconds=st.floats(0.001, 60))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.naive.see(self.now)

    @rule(channel=st.sampled_from(CHANNELS), count=st.integers(1, 3))
    def put(self, channel: str | None, count: int) -> None:
        entries = [Entry(f"{len(self.naive.facts) + n}", channel) for n in range(count)]
        now = self.now
        stored = self.model.put(now, entries)
        self.calls.append(lambda model: model.put(now, entries))
        self.naive.facts += [Fact(message.id, message.content, channel, now, now) for message in stored]

    @rule(
        limit=st.integers(1, 4), visibility_s=st.integers(0, 120), channel=st.sampled_from(CHANNELS), any_=st.booleans()
    )
    def get(self, limit: int, visibility_s: int, channel: str | None, any_: bool) -> None:
        channel = None if any_ else channel
        now = self.now
        expected = {name: self.naive.visible(now, name) for name in ([channel] if channel else CHANNELS)}
        offered = self.model.any_visible(now, channel)
        taken = self.model.get(now, limit, visibility_s, channel)
        if taken:
            self.calls.append(lambda model: model.get(now, limit, visibility_s, channel))
        assert offered == bool(taken) == any(expected.values())
        if taken:
            wanted = expected[taken[0].channel][:limit]
            assert [message.id for message in taken] == [fact.id for fact in wanted]
            for fact, message in zip(wanted, taken, strict=True):
                assert message.receipt is not None
                assert message.receipt not in self.receipts
                fact.receipts.append(message.receipt)
                fact.hidden_until = min(now + visibility_s, fact.born + RETENTION_S)
                self.receipts.append(message.receipt)
                assert (message.deliveries, message.visible_at) == (len(fact.receipts), fact.hidden_until)

    @precondition(lambda self: self.receipts)
    @rule(data=st.data(), visibility_s=st.integers(0, 120))
    def update(self, data: st.DataObject, visibility_s: int) -> None:
        receipt, now = data.draw(st.sampled_from(self.receipts)), self.now
        fact = self.naive.holder(now, receipt)
        if fact is None:
            with pytest.raises(ReceiptRefused):
                self.model.check(now, receipt)
            return
        self.model.check(now, receipt, visibility_s)
        updated = self.model.update(now, receipt, visibility_s)
        self.calls.append(lambda model: model.update(now, receipt, visibility_s))
        fact.hidden_until = min(now + visibility_s, fact.born + RETENTION_S)
        assert (updated.id, updated.visible_at) == (fact.id, fact.hidden_until)

    @precondition(lambda self: self.receipts)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        receipt, now = data.draw(st.sampled_from(self.receipts)), self.now
        fact = self.naive.holder(now, receipt)
        if fact is None:
            with pytest.raises(ReceiptRefused):
                self.model.check(now, receipt)
            return
        self.model.delete(now, receipt)
        self.calls.append(lambda model: model.delete(now, receipt))
        fact.deleted = True

    @rule(alive=st.booleans(), dead=st.booleans(), channel=st.sampled_from(CHANNELS))
    def purge(self, alive: bool, dead: bool, channel: str | None) -> None:
        channels, now = ([channel] if channel else []), self.now
        self.naive.see(now)
        self.model.purge(now, channels, alive=alive, dead=dead)
        self.calls.append(lambda model: model.purge(now, channels, alive=alive, dead=dead))
        for fact in self.naive.facts:
            if (dead if fact.dead else alive) and channel in (None, fact.channel):
                fact.deleted = True

    @invariant()
    def the_figures_agree(self) -> None:
        alive, dead = self.naive.alive(self.now), self._dead()
        visible = [fact for fact in alive if fact.hidden_until <= self.now]
        queue, letters = self.model.stats(self.now)
        assert queue == Count(len(visible), len(alive) - len(visible), sum(len(fact.content) for fact in alive))
        assert letters == Count(len(dead), 0, sum(len(fact.content) for fact in dead))
        assert self.model.channels(self.now) == sorted({fact.channel for fact in [*alive, *dead] if fact.channel})

    @invariant()
    def the_next_to_come_back_is_known(self) -> None:
        hidden = [fact.hidden_until for fact in self.naive.alive(self.now) if fact.hidden_until > self.now]
        comes_at = self.model.next_visible_at(self.now)
        if hidden:
            assert comes_at is not None
            assert self.now < comes_at <= min(hidden)

    def teardown(self) -> None:
        """What a journal would do: the calls that changed something, again."""
        for call in getattr(self, "calls", []):
            call(self.replayed)
        if hasattr(self, "model"):
            assert self._told(self.replayed) == self._told(self.model)

    def _told(self, model: QueueModel) -> list[Stored]:
        return model.messages(self.now)

    def _dead(self) -> list[Fact]:
        return [
            fact for fact in self.naive.facts if fact.dead and not fact.deleted and self.now < fact.born + RETENTION_S
        ]


TestQueueAgainstANaiveOne = QueueMachine.TestCase
TestQueueAgainstANaiveOne.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def queue(**config: int) -> QueueModel:
    return QueueModel(QueueConfig(**config))


def test_an_expired_receipt_may_work_until_somebody_else_has_the_message() -> None:
    """Which of both the service does is documented nowhere."""
    model = queue()
    model.put(NOW, [Entry("1")])
    (lost,) = model.get(NOW, 1, 10)
    assert lost.receipt is not None

    with pytest.raises(ReceiptRefused):
        model.check(NOW + 11, lost.receipt)
    model.check(NOW + 11, lost.receipt, strict=False)
    (current,) = model.get(NOW + 12, 1, 10)
    with pytest.raises(ReceiptRefused):
        model.check(NOW + 13, lost.receipt, strict=False)

    assert current.receipt is not None
    model.check(NOW + 13, current.receipt)


def test_a_visibility_past_the_retention_is_cut_short_or_refused() -> None:
    model = queue(retention_s=100)
    model.put(NOW, [Entry("1")])
    (message,) = model.get(NOW, 1, 10)
    assert message.receipt is not None

    with pytest.raises(ReceiptRefused) as refused:
        model.check(NOW, message.receipt, 101, clip=False)
    assert refused.value.refusal is Refusal.PAST_RETENTION

    assert model.update(NOW, message.receipt, 101).visible_at == NOW + 100
    assert model.messages(NOW + 100) == []


def test_a_message_hidden_twice_until_one_moment_comes_back_once() -> None:
    model = queue()
    model.put(NOW, [Entry("1")])
    (message,) = model.get(NOW, 1, 10)
    assert message.receipt is not None
    model.update(NOW, message.receipt, 10)

    assert len(model.get(NOW + 10, 5, 10)) == 1


def test_a_duplicate_outlives_the_first_one_s_deletion() -> None:
    model = queue()
    model.put(NOW, [Entry("1")])
    (first,) = model.get(NOW, 1, 10, twice=True)
    (second,) = model.get(NOW, 1, 10)
    assert first.receipt is not None
    assert second.receipt is not None

    assert (first.id, first.content) == (second.id, second.content)
    model.delete(NOW, first.receipt)
    model.check(NOW, second.receipt)


def test_an_answer_is_cut_at_its_largest_size_but_never_empty() -> None:
    model = queue()
    model.put(NOW, [Entry("x" * 600), Entry("y" * 300), Entry("z" * 200)])

    assert [message.content[0] for message in model.get(NOW, 3, 10, max_bytes=1000)] == ["x", "y"]
    assert [message.content[0] for message in model.get(NOW, 3, 10, max_bytes=10)] == ["z"]


def test_order_may_be_any() -> None:
    model = queue()
    model.put(NOW, [Entry(str(n)) for n in range(20)])

    contents = [message.content for message in model.get(NOW, 20, 10, shuffled=True)]

    assert sorted(contents, key=int) == [str(n) for n in range(20)]
    assert contents != sorted(contents, key=int)


@pytest.mark.parametrize("receipt", ["", "x", "????", "cjI="])
def test_what_is_no_receipt_is_told_apart_from_a_stale_one(receipt: str) -> None:
    with pytest.raises(ReceiptRefused) as refused:
        queue().check(NOW, receipt)

    assert refused.value.refusal is Refusal.MALFORMED
