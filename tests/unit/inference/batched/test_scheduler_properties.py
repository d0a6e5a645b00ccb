"""What the queue promises whatever comes in."""

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rows import PLAIN, PROMPTED, STAMPED, WARMER, a_row
from transcriber_worker.domain.job import Priority
from transcriber_worker.inference.batched.caps import Pace
from transcriber_worker.inference.batched.rows import FULL_FRAMES, Recipe
from transcriber_worker.inference.batched.scheduler import Batch, Scheduler, Waiting

FLUSH_S = 0.03
FLUSHED = 1e9
PASSED_OVER_BATCHES = 8
RECIPES = st.sampled_from((PLAIN, PLAIN, PLAIN, PROMPTED, STAMPED, WARMER))
FULL = st.just(FULL_FRAMES)
ANY_LENGTH = st.integers(30, FULL_FRAMES)
CAPS = st.integers(1, 9)


@dataclass(frozen=True)
class Join:
    priority: Priority
    deadline: float | None


@dataclass(frozen=True)
class Add:
    file: int
    recipe: Recipe
    frames: int
    again: bool
    after_s: float


@dataclass(frozen=True)
class Drop:
    file: int
    leave: bool


@dataclass(frozen=True)
class Next:
    cap: int
    idle: int
    after_s: float


def steps(frames: st.SearchStrategy[int]) -> st.SearchStrategy[list[Join | Add | Drop | Next]]:
    waits = st.sampled_from((0.0, 0.01, 0.05))
    add = st.builds(Add, st.integers(0, 7), RECIPES, frames, st.booleans(), waits)
    return st.lists(
        st.one_of(
            st.builds(Join, st.sampled_from(Priority), st.none() | st.floats(0, 100)),
            add,
            add,
            add,
            st.builds(Drop, st.integers(0, 7), st.booleans()),
            st.builds(Next, CAPS, st.integers(1, 3), waits),
        ),
        max_size=80,
    )


@dataclass
class Mirror:
    """What the queue should hold, kept in the plainest way."""

    scheduler: Scheduler
    now: float = 0.0
    files: list[int] = field(default_factory=list)
    rank: dict[int, Priority] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)
    made: int = 0

    def step(self, step: Join | Add | Drop | Next) -> tuple[Batch, list[Waiting]] | None:
        """Do it; returns a batch that was made, with what waited before it."""
        if isinstance(step, Join):
            self.files.append(self.scheduler.join(step.priority, step.deadline))
            self.rank[self.files[-1]] = step.priority
        elif isinstance(step, Next):
            return self.next(step)
        elif step.file < len(self.files):
            ticket = self.files[step.file]
            if isinstance(step, Drop):
                self.waiting = [waiting for waiting in self.waiting if waiting.ticket != ticket]
                self.scheduler.drop(ticket)
                if step.leave:
                    self.scheduler.leave(ticket)
                    self.files.remove(ticket)
            else:
                self.now += step.after_s
                row = a_row(step.recipe, frames=step.frames)
                self.waiting.append(self.scheduler.add(ticket, row, self.now, again=step.again))
        assert len(self.scheduler) == len(self.waiting)
        return None

    def next(self, step: Next) -> tuple[Batch, list[Waiting]] | None:
        self.now += step.after_s
        before = list(self.waiting)
        batch = self.scheduler.next(self.now, lambda frames: step.cap, step.idle)
        if batch is None:
            due = self.scheduler.due()
            assert (due is None) == (not before)
            assert due is None or due > self.now
            return None
        for waiting in batch.rows:
            self.waiting.remove(waiting)  # which fails for one that was dropped, or comes twice
        assert 1 <= len(batch.rows) <= batch.most == step.cap
        assert (
            len(batch.rows) == batch.most
            or self.now >= min(waiting.since_s for waiting in before) + FLUSH_S
            or (len(before) >= step.cap)
        )
        self.made += 1
        return batch, before


def played(
    all_steps: list[Join | Add | Drop | Next], *, share: bool
) -> list[tuple[int, Batch, list[Waiting], dict[int, Priority]]]:
    mirror = Mirror(Scheduler(flush_s=FLUSH_S, pace=Pace(1e9), share=share))
    batches = []
    for step in all_steps:
        made = mirror.step(step)
        if made is not None:
            batches.append((mirror.made - 1, *made, mirror.rank))
    return batches


def recipe_of(batch: Batch) -> Recipe:
    return batch.rows[0].row.recipe


@settings(max_examples=100, deadline=None)
@given(steps(ANY_LENGTH), st.booleans())
def test_rows_come_out_once_in_batches_of_one_recipe_of_which_little_is_padding(
    all_steps: list[Join | Add | Drop | Next], share: bool
) -> None:
    for _, batch, _, _ in played(all_steps, share=share):
        assert len({waiting.row.recipe for waiting in batch.rows}) == 1
        frames = [waiting.row.frames for waiting in batch.rows]
        assert Fraction(sum(frames), max(frames) * len(frames)) >= Fraction(3, 4)


@settings(max_examples=100, deadline=None)
@given(steps(FULL), st.booleans())
def test_no_file_gets_two_rows_while_another_of_its_priority_waits_that_could_share_the_batch(
    all_steps: list[Join | Add | Drop | Next], share: bool
) -> None:
    for _, batch, before, rank in played(all_steps, share=share):
        had = Counter(waiting.ticket for waiting in batch.rows)
        left = {w.ticket for w in before if w.row.recipe == recipe_of(batch) and w not in batch.rows}
        for waits in left:
            for file, rows in had.items():
                if rank[file] == rank[waits]:
                    assert rows <= had[waits] + 1


@settings(max_examples=100, deadline=None)
@given(steps(FULL), st.booleans())
def test_a_lower_priority_gets_what_the_higher_ones_leave_and_the_first_row_of_every_eighth_batch(
    all_steps: list[Join | Add | Drop | Next], share: bool
) -> None:
    order = list(Priority)
    for number, batch, before, rank in played(all_steps, share=share):
        left = [w for w in before if w.row.recipe == recipe_of(batch) and w not in batch.rows]
        highest_left = min((order.index(rank[w.ticket]) for w in left), default=len(order))
        if number % PASSED_OVER_BATCHES != PASSED_OVER_BATCHES - 1:
            assert order.index(rank[batch.rows[0].ticket]) == min(order.index(rank[w.ticket]) for w in before)
        for waiting in batch.rows[1:]:
            assert order.index(rank[waiting.ticket]) <= highest_left


@settings(max_examples=100, deadline=None)
@given(steps(FULL), st.booleans())
def test_a_files_rows_come_in_order_and_those_to_be_tried_again_first(
    all_steps: list[Join | Add | Drop | Next], share: bool
) -> None:
    for _, batch, before, _ in played(all_steps, share=share):
        first = batch.rows[0]
        assert first == min(
            (w for w in before if w.ticket == first.ticket), key=lambda w: (not w.again, before.index(w))
        )
        for ticket in {waiting.ticket for waiting in batch.rows}:
            could = [w for w in before if w.ticket == ticket and w.row.recipe == recipe_of(batch)]
            could.sort(key=lambda w: not w.again)
            taken = [w for w in batch.rows if w.ticket == ticket]
            assert taken == could[: len(taken)]


@dataclass(frozen=True)
class Crowd:
    """Rows of new files and of old ones that come between two batches."""

    new: list[tuple[Priority, Recipe]]
    old: list[tuple[int, Recipe, bool]]


CROWDS = st.builds(
    Crowd,
    st.lists(st.tuples(st.sampled_from(Priority), RECIPES), max_size=3),
    st.lists(st.tuples(st.integers(0, 20), RECIPES, st.booleans()), max_size=4),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(CROWDS, min_size=1, max_size=6), st.integers(0, 8), CAPS, st.booleans())
def test_nobody_starves_however_many_come(crowds: list[Crowd], alone: int, cap: int, share: bool) -> None:
    """One row of the lowest priority, with a recipe that nobody shares, among files that never stop coming and always
    have more: it is decoded within 8 batches for each file that waited when it came, itself counted."""
    queue = Scheduler(flush_s=FLUSH_S, pace=Pace(1e9), share=share)
    files: list[int] = []

    def arrive(crowd: Crowd) -> None:
        for priority, recipe in crowd.new:
            files.append(queue.join(priority, 1.0))
            queue.add(files[-1], a_row(recipe), 0.0)
        for number, recipe, again in crowd.old:
            if files:
                queue.add(files[-1 - number % len(files)], a_row(recipe), 0.0, again=again)

    for number in range(alone):
        arrive(crowds[number % len(crowds)])
        queue.next(FLUSHED, lambda frames: cap)
    victim = queue.add(queue.join(Priority.LOW, None), a_row(Recipe(temperature=1.0)), 0.0)
    bound = PASSED_OVER_BATCHES * (len(files) + 1)
    for number in range(bound):
        arrive(crowds[number % len(crowds)])
        high = queue.join(Priority.HIGH, 0.0)
        for _ in range(2 * cap):
            queue.add(high, a_row(), 0.0)
        files.append(high)
        batch = queue.next(FLUSHED, lambda frames: cap)
        assert batch is not None
        if victim in batch.rows:
            return
    raise AssertionError(f"not decoded within {bound} batches")


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 12), st.lists(RECIPES, min_size=12, max_size=12), RECIPES, CAPS, st.integers(12, 40), st.booleans()
)
def test_a_clip_is_in_the_next_batch_or_the_one_after_however_many_long_files_keep_the_queue_full(
    long_files: int, recipes: list[Recipe], clips: Recipe, cap: int, batches_before: int, share: bool
) -> None:
    """With the batch that runs when it comes that makes three at most."""
    queue = Scheduler(flush_s=FLUSH_S, pace=Pace(1e9), share=share)
    files = [queue.join(Priority.NORMAL, 5.0 if number % 3 else None) for number in range(long_files)]

    def refill() -> Batch | None:
        for file, recipe in zip(files, recipes, strict=False):
            for _ in range(2):
                queue.add(file, a_row(recipe), 0.0)
        return queue.next(FLUSHED, lambda frames: cap)

    for _ in range(batches_before + 2 * long_files):
        refill()
    clip = queue.add(queue.join(Priority.NORMAL, None), a_row(clips), 0.0)
    batches = [refill(), refill()]
    assert any(batch is not None and clip in batch.rows for batch in batches)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 6), CAPS, st.booleans())
def test_long_files_keep_their_share_of_a_stream_of_clips(
    long_files: int, clips_more_than_fit: int, cap: int, share: bool
) -> None:
    """About half of all rows is theirs, and no less than three eighths, since every eighth batch is for whoever has
    waited longest. They share it out evenly, though there are always more new clips than a batch has room."""
    queue = Scheduler(flush_s=FLUSH_S, pace=Pace(1e9), share=share)
    long = [queue.join(Priority.NORMAL, None) for _ in range(long_files)]
    for file in long:
        queue.add(file, a_row(), 0.0)
    while queue.next(FLUSHED, lambda frames: cap) is not None:
        pass
    had: Counter[int] = Counter()
    rows = 0
    for _ in range(48):
        for file in long:
            queue.add(file, a_row(), 0.0)
        for _ in range(cap + clips_more_than_fit):
            queue.add(queue.join(Priority.NORMAL, None), a_row(), 0.0)
        batch = queue.next(FLUSHED, lambda frames: cap)
        assert batch is not None
        rows += len(batch.rows)
        had.update(waiting.ticket for waiting in batch.rows if waiting.ticket in long)
    for file in long:
        assert had[file] >= min(3 / 8 * rows / long_files, 48.0) - 1
