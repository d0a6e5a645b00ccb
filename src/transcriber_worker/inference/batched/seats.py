"""The windows of a file that are not answered yet, channel by channel. Values only; `hearing` moves them."""

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum, auto

from transcriber_worker.domain.audio import Window
from transcriber_worker.domain.transcript import HeardWindow
from transcriber_worker.inference.batched.language import Ballot, ChannelLanguage, Tongue
from transcriber_worker.inference.batched.passages import Passage
from transcriber_worker.inference.batched.rows import Decoded
from transcriber_worker.inference.batched.window_work import WindowWork
from transcriber_worker.inference.seams import NO_SEAM, Seam


class Known(Enum):
    """What is known of a window's language."""

    WAITING = auto()
    """Nothing: none of its passages is in work."""
    LEADING = auto()
    """Its first passage is being heard, in the language it sounds like."""
    LED = auto()
    """It was heard so; whether that is the right language is not known."""
    OPEN = auto()
    """Everything: whatever there is to hear is handed in at once."""


@dataclass(slots=True, eq=False)
class Seat:
    """One window, from its submission to its result."""

    window: Window
    work: WindowWork
    future: Future[HeardWindow]
    waiting: tuple[Passage, ...]
    """To be heard, and not handed in yet."""
    ballot: Ballot | None = None
    """Where it has a say in its channel's language."""
    known: Known = Known.WAITING
    lead: tuple[Passage, Decoded] | None = None
    """The first passage, while its language is `LED`."""
    tongue: Tongue | None = None
    """What the window is heard in, once its language is `OPEN`."""
    begun: bool = False
    """Whether a row of it was handed in."""
    over: bool = False
    """Its future has its error."""

    def take_lead(self) -> Passage:
        """The first passage, by which the window is to say what it sounds like."""
        first, *rest = self.waiting
        self.waiting, self.known = tuple(rest), Known.LEADING
        if self.ballot is not None:
            self.ballot.asked = True
        return first

    def take_waiting(self) -> tuple[Passage, ...]:
        passages, self.waiting = self.waiting, ()
        return passages


@dataclass(slots=True)
class Channel:
    language: ChannelLanguage
    seats: deque[Seat] = field(default_factory=deque)
    """In the order of the file."""
    seam: Seam = NO_SEAM
    """Between the last window answered and the first of `seats`."""
