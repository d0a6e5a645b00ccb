"""Worker processes that die, stand still and leave by programme, each followed by another with an empty scratch."""

import json
import signal
import time
from collections import Counter, deque
from dataclasses import dataclass
from enum import Enum, auto
from random import Random

from tests.chaos.deployment import Deployment
from tests.chaos.processes import WorkerProcess, until
from tests.chaos.programme import Moment
from tests.chaos.worker_under_test import BROKEN, HEARD, POISONED, Plan
from transcriber_worker.observability import events
from transcriber_worker.settings import WorkerSettings

MAX_CRASHES = WorkerSettings().max_crashes
_PATIENCE_S = 25.0
"""A worker that has not come to its moment by then leaves, and the moment is another's."""
_LEAVING_S = 45.0
_BACK_OFF_S = 1.0
"""Before the next worker begins where one could not, since its surroundings were down."""
KILLED = -signal.SIGKILL


class _Phase(Enum):
    AT_WORK = auto()
    STANDING = auto()
    LEAVING = auto()
    GONE = auto()


@dataclass(slots=True)
class _Post:
    """One place for a worker, as a pod has one."""

    worker: WorkerProcess
    moment: Moment | None
    began: float
    ready_at: float | None = None
    phase: _Phase = _Phase.AT_WORK
    since: float = 0.0
    met: bool = False
    """Its moment has come."""
    doomed: bool = False
    """Killed from outside."""
    disturbed: bool = False
    """Something of its surroundings was down in its life: it may have given up."""


class Fleet:
    """`turn` lets pass what is due; called often, by one thread."""

    def __init__(self, deployment: Deployment, moments: list[Moment], poison: tuple[str, ...], rng: Random) -> None:
        self.deployment = deployment
        self.kill_log = deployment.root / "kills.log"
        self.kill_log.touch()
        self.from_outside: Counter[str] = Counter()
        self.restarts = 0
        self.surprises: list[str] = []
        """Ends of workers that nobody had planned."""
        self._waiting = deque(moments)
        self._poison = poison
        self._rng = rng
        self._posts: list[_Post] = []
        self._heard: Counter[str] = Counter()
        self._disturbed = False

    @property
    def over(self) -> bool:
        """Whether every moment has come."""
        return not self._waiting and all(post.moment is None or post.met for post in self._posts)

    @property
    def moments_left(self) -> int:
        return len(self._waiting) + sum(post.moment is not None and not post.met for post in self._posts)

    def open(self, posts: int) -> None:
        for _ in range(posts):
            self._posts.append(self._begin())

    def turn(self) -> None:
        for place, post in enumerate(self._posts):
            if post.worker.running:
                self._attend(post)
            elif post.phase is not _Phase.GONE:
                self._see_off(post)
            elif time.monotonic() >= post.since:
                self._posts[place] = self._begin()
                self.restarts += 1

    def disturb(self, *, disturbed: bool) -> None:
        """Whether something around the workers is out of order."""
        self._disturbed = disturbed
        for post in self._posts:
            post.disturbed |= disturbed

    def one_at_work(self) -> WorkerProcess | None:
        chosen = [post for post in self._posts if post.phase is _Phase.AT_WORK and post.ready_at]
        return self._rng.choice(chosen).worker if chosen else None

    def close(self) -> None:
        """Every worker leaves by itself."""
        for post in self._posts:
            if post.phase is _Phase.STANDING:
                post.worker.signal(signal.SIGCONT)
            post.worker.signal(signal.SIGTERM)
        for post in self._posts:
            if post.phase is not _Phase.GONE:
                post.phase = _Phase.LEAVING
                self._see_off(post)
        self._posts.clear()

    def log(self) -> list[str]:
        """What workers did to themselves: `<milestone> <job> <signal> <pid>`."""
        return self.kill_log.read_text().splitlines()

    def signals(self) -> Counter[str]:
        """All that came, those of poison jobs among them."""
        return self.from_outside + Counter(line.split()[2] for line in self.log())

    def heard(self) -> Counter[str]:
        """Windows heard, by job."""
        return self._heard

    def _begin(self) -> _Post:
        moment = self._waiting.popleft() if self._waiting else None
        at = moment if moment is not None and moment.milestone is not None else None
        plan = Plan(
            milestone=at.milestone if at else None,
            nth=at.nth if at else 1,
            signal=at.signal if at else "SIGKILL",
            log=str(self.kill_log),
            most_per_job=1,
            poison=self._poison,
            tiny_wavs=True,
            count_windows=True,
        )
        return _Post(self.deployment.start(plan), moment, time.monotonic(), disturbed=self._disturbed)

    def _attend(self, post: _Post) -> None:
        now = time.monotonic()
        if post.phase is _Phase.STANDING:
            if now >= post.since:
                post.worker.signal(signal.SIGCONT)
                post.phase, post.since = _Phase.AT_WORK, now
                post.ready_at = now + self._rng.uniform(0.5, 2.0)  # good as new for so long, then it leaves
        elif post.phase is _Phase.LEAVING:
            if now > post.since + _LEAVING_S and not post.doomed:
                self._end_by_force(post)
        elif post.ready_at is None:
            if post.worker.lines(events.WORKER_READY):
                post.ready_at = now
        elif post.met:
            if now >= post.ready_at:
                self._leave(post)
        elif post.moment is not None:
            self._await_moment(post, post.moment, now - post.ready_at)

    def _await_moment(self, post: _Post, moment: Moment, ready_s: float) -> None:
        if ready_s > moment.after_s + _PATIENCE_S and not self._did_it(post):
            self._waiting.append(moment)
            post.moment = None
            self._leave(post)
        elif moment.milestone is None and ready_s >= moment.after_s:
            self._strike(post, moment)
        elif moment.signal == "SIGSTOP" and moment.milestone is not None and post.worker.stopped():
            self._stand(post)

    def _strike(self, post: _Post, moment: Moment) -> None:
        """From outside, unless a job would be thought guilty for it: decided while the worker stands still."""
        if moment.signal == "SIGTERM":
            self._leave(post)
            post.met = True
            self.from_outside["SIGTERM"] += 1
            return
        post.worker.signal(signal.SIGSTOP)
        until(lambda: post.worker.stopped() or not post.worker.running, "it stands still", 60.0)
        if not post.worker.running:
            return
        if self._someone_at_the_bound(post.worker):
            post.worker.signal(signal.SIGCONT)
            return
        self.from_outside[moment.signal] += 1
        if moment.signal == "SIGKILL":
            post.met = post.doomed = True
            post.worker.signal(signal.SIGKILL)
            assert post.worker.ended() == KILLED
        else:
            self._stand(post)

    def _stand(self, post: _Post) -> None:
        post.met = True
        post.phase = _Phase.STANDING
        post.since = time.monotonic() + self.deployment.stack.lease_s * 1.2 + self._rng.uniform(0.0, 1.0)

    def _end_by_force(self, post: _Post) -> None:
        """It was told to leave long ago: ask where it hangs first."""
        self.surprises.append(f"would not leave: {post.worker.log}")
        post.doomed = True
        self._ask_for_stacks(post.worker)
        post.worker.signal(signal.SIGKILL)

    def ask_all_for_stacks(self) -> None:
        """Into their logs, for whoever has to find out why nothing goes on."""
        for post in self._posts:
            self._ask_for_stacks(post.worker)

    @staticmethod
    def _ask_for_stacks(worker: WorkerProcess) -> None:
        if worker.running and not worker.stopped():
            worker.signal(signal.SIGUSR1)
            until(lambda: b"Current thread" in worker.log.read_bytes() or not worker.running, "its stacks", 10.0)

    @staticmethod
    def _leave(post: _Post) -> None:
        post.worker.signal(signal.SIGTERM)
        post.phase, post.since = _Phase.LEAVING, time.monotonic()

    @staticmethod
    def _someone_at_the_bound(worker: WorkerProcess) -> bool:
        """Whether a job may be running alone that has died alone before: at most one such death may come by a
        milestone, so that nobody reaches the bound of them by chance."""
        suspects = [line["job_id"] for line in worker.lines(events.JOB_SUSPECT) if line["crashes"] >= MAX_CRASHES - 2]
        ends = (events.JOB_FINISHED, events.JOB_DEAD_LETTERED)
        ended = {line["job_id"] for event in ends for line in worker.lines(event)}
        return not ended.issuperset(suspects)

    def _did_it(self, post: _Post) -> bool:
        return any(line.split()[3] == str(post.worker.pid) for line in self.log())

    def _see_off(self, post: _Post) -> None:
        code = post.worker.ended()
        self._count_heard(post.worker)
        own = [line.split() for line in self.log() if line.split()[3] == str(post.worker.pid)]
        killed_itself = any(signal_name == "SIGKILL" for _, _, signal_name, _ in own)
        if any(milestone != POISONED for milestone, *_ in own):
            post.met = True
        if post.moment is not None and not post.met:
            self._waiting.append(post.moment)
            post.moment = None
        told_to = post.phase is _Phase.LEAVING or any(line[2] == "SIGTERM" for line in own)
        left = told_to and (code == 0 or (code == -signal.SIGTERM and post.ready_at is None))
        died = code == KILLED and (post.doomed or killed_itself)
        gave_up = code == BROKEN and post.disturbed
        post.phase, post.since = _Phase.GONE, time.monotonic() + (_BACK_OFF_S if gave_up else 0.0)
        if not (left or died or gave_up):
            self.surprises.append(f"ended with {code}: {post.worker.log}\n{post.worker.tail(5)}")

    def _count_heard(self, worker: WorkerProcess) -> None:
        for line in worker.log.read_bytes().splitlines():
            if HEARD.encode() in line:
                try:
                    self._heard[json.loads(line)["job_id"]] += 1
                except ValueError:
                    continue  # half a line of a worker that was killed
