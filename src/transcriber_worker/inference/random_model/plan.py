"""What the random models write, and how their weights are laid out for it. Pure.

Whisper's text ends when the token for the end becomes the most probable one. Left to random weights that happens at
once or never. Here a few of the weights are chosen, and all others are random and too small to matter:

- Text is a chain of `STEPS` steps. Each step is any of `SYNONYMS` words; the last layer leads from any word of a step
  to the words of the next one. Which of them is written depends on the audio, so that windows differ and beams have a
  choice, as sure of it as a real model is.
- The last layer also weighs how far the text is (in the words' embeddings) against how much audio there is, which
  an attention head finds out by its average over all states. Where the text has caught up, it ends: about
  `TOKENS_PER_S` for each second.
- Speakers differ, so texts are longer than that by a share that differs from window to window: an attention head looks
  at the one state that suits it best, wherever in the window that is, and each position knows a number of its own.
- The heads that words' times are read from look where the audio is that the text has come to.

No position in the text is looked at, so that it makes no difference which prompt stands before.
"""

from dataclasses import dataclass

STEPS = 240
SYNONYMS = 6
WORDS = STEPS * SYNONYMS
TOKENS_PER_S = 2.7
"""At least, of speech; real speech has 2.5 to 3.7 (75 to 110 in 30 s)."""
MORE_TOKENS = 20.0
"""A full window's text is so much longer on average, most by less, few by a lot."""

TOKENS_PER_NUMBER = 10.0
"""What a position's number of 1 stands for."""
WINDOW_S = 30.0
STATES = 1500
"""Of a full window."""
TEXT_POSITIONS = 448
STYLES = 16
"""Channels in which the audio says which synonym it likes best."""

_WIDE = 512


@dataclass(frozen=True, slots=True)
class Channels:
    """Which of a model's `width` channels mean what; those from `free` on are random. The same for both halves."""

    width: int

    @property
    def waves(self) -> int:
        """Frequencies in which a place in time is written: finer where there is room."""
        return 16 if self.width >= _WIDE else 12

    @property
    def time(self) -> slice:
        return slice(0, 2 * self.waves)

    @property
    def progress(self) -> int:
        """Decoder: how far the text is. Encoder: whether there is audio."""
        return 2 * self.waves

    audio = progress

    @property
    def end(self) -> int:
        """Decoder: whether to end. Encoder: a position's number."""
        return 2 * self.waves + 1

    number = end

    @property
    def style(self) -> slice:
        return slice(self.end + 1, self.end + 1 + STYLES)

    @property
    def free(self) -> slice:
        return slice(self.end + 1 + STYLES, self.width)

    @property
    def count_free(self) -> int:
        return self.width - (self.end + 1 + STYLES)
