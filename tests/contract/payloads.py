"""Bodies that are no requests, of every kind that a publisher's mistake or malice may send; seeded."""

import json
import random
from collections.abc import Iterator
from typing import Any

SOURCE = "file:///data/audio/call.wav"
_FIELDS = (
    "version", "id", "source", "output", "language", "languages", "task", "formats", "word_timestamps", "channels",
    "clip", "prompt", "hotwords", "speed", "priority", "deadline_s", "reply_to", "attributes",
)  # fmt: skip
_WRONG: tuple[Any, ...] = (
    [], {}, -1, "", "\x00", 1e300, [[]], {"": None}, "x" * 5000, [None], {"a": {"b": [1]}}, "💣" * 300, True,
)  # fmt: skip


def malformed(count: int, seed: int = 1) -> Iterator[bytes]:
    """`count` different bodies, each no request whatever the worker's settings."""
    rng = random.Random(seed)
    makers = (_broken_json, _wrong_type, _unknown_key, _not_utf8, _deep, _not_an_object, _huge, _two_values)
    for number in range(count):
        # The huge ones are rare: they are a megabyte each.
        maker = rng.choice(makers if number % 50 == 0 else [made for made in makers if made is not _huge])
        yield maker(rng, number)


def _request(number: int, **fields: Any) -> bytes:
    return json.dumps({"version": 1, "source": SOURCE, "id": f"bad-{number}", **fields}).encode()


def _broken_json(rng: random.Random, number: int) -> bytes:
    whole = _request(number, language="de", attributes={"tenant": "a"})
    return whole[: rng.randrange(1, len(whole) - 1)] + b"%d" % number


def _wrong_type(rng: random.Random, number: int) -> bytes:
    name = rng.choice([field for field in _FIELDS if field not in ("id", "attributes", "languages", "hotwords")])
    value = rng.choice([-7, [[]], {"": None}, {"a": {"b": [1]}}, [None]])
    return _request(number, **{name: value})


def _unknown_key(rng: random.Random, number: int) -> bytes:
    return _request(number, **{f"sourc{rng.randrange(10**6)}": rng.choice(_WRONG)})


def _not_utf8(rng: random.Random, number: int) -> bytes:
    return b"\xff\xfe%d" % number + rng.randbytes(rng.randrange(200))


def _deep(rng: random.Random, number: int) -> bytes:
    depth = rng.randrange(2_000, 60_000)
    return b'{"id": "%d", "source": ' % number + b"[" * depth + b"]" * depth + b"}"


def _not_an_object(rng: random.Random, number: int) -> bytes:
    return json.dumps(rng.choice([number, f"text {number}", [number, number], [{}, number]])).encode()


def _huge(rng: random.Random, number: int) -> bytes:
    return _request(number, prompt="x" * 1_000_000)


def _two_values(rng: random.Random, number: int) -> bytes:
    return _request(number) + b"\n" + _request(number)
