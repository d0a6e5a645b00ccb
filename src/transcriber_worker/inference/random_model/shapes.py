"""How large the models are. Pure."""

from dataclasses import dataclass

HEAD_WIDTH = 64
"""Of all of them."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a Whisper model that hears 128 mel bands and knows 51866 tokens, as large-v3 does."""

    name: str
    encoder_layers: int
    decoder_layers: int
    width: int
    alignment_heads: tuple[tuple[int, int], ...]
    """(layer, head) of those that words' times are read from. None of them is among the first two of the last layer,
    which count and sample."""

    bands: int = 128

    @property
    def heads(self) -> int:
        return self.width // HEAD_WIDTH


_TURBO_HEADS = ((2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14))
_LARGE_V3_HEADS = (
    *((7, 0), (10, 17), (12, 18), (13, 12), (16, 1)),
    *((17, 14), (19, 11), (21, 4), (24, 1), (25, 6)),
)  # fmt: skip

TURBO = Shape("random-large-v3-turbo", 32, 4, 1280, _TURBO_HEADS)
LARGE_V3 = Shape("random-large-v3", 32, 32, 1280, _LARGE_V3_HEADS)
TINY = Shape("random-tiny", 2, 2, 192, ((1, 2),))
"""No published one: as small as the wiring lets it be, for trying the measurement out on a CPU."""

SHAPES = {"turbo": TURBO, "large-v3": LARGE_V3, "tiny": TINY}
