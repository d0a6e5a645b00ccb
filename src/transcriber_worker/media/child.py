"""The reader process: `python -m transcriber_worker.media.child LIMITS`.

It says that it is ready, reads one job from stdin, and from then on makes one window for each credit. It imports
neither the model libraries nor the worker's own settings and logging: it starts in a fraction of a second and has
nothing to give away.
"""

import errno
import json
import os
import stat
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, BinaryIO

from transcriber_worker.domain.errors import Reason, RejectJob
from transcriber_worker.media import sandbox

if TYPE_CHECKING:
    from transcriber_worker.media.protocol import MediaJob, Message
    from transcriber_worker.media.vad import SpeechModel

_MAX_LINE_BYTES = 65_536


def main(limits: str) -> int:
    """`limits`: JSON with parent_pid, memory_bytes, cpu_s. Returns the exit code."""
    bounds = json.loads(limits)
    off_network = sandbox.detach(bounds["parent_pid"])
    send = _take_over_stdout()
    # Vendor libraries start threads, and a network namespace can only be left by a process of one thread: so, late.
    from av.error import FFmpegError

    from transcriber_worker.media.protocol import Ready, decode_job
    from transcriber_worker.media.rehearsal import rehearse

    model = rehearse()
    sandbox.limit(bounds["memory_bytes"], bounds["cpu_s"])
    can_seal = sandbox.can_seal()
    send(Ready((("no_network",) if off_network else ()) + (("system_call_filter",) if can_seal else ())))
    line = sys.stdin.buffer.readline(_MAX_LINE_BYTES)
    if not line:
        return 0
    job = decode_job(line)
    os.chdir(os.path.dirname(job.path))  # noqa: PTH120 - pathlib is not worth its import here
    try:
        file = _open_file(job.path)
        if can_seal:
            sandbox.seal()
        _read(file, job, model, send)
    except RejectJob as error:
        send(_rejected(error.reason, error.message))
    except MemoryError:
        send(_rejected(Reason.MEDIA_LIMIT_EXCEEDED, _OUT_OF_MEMORY))
    except FFmpegError as error:
        send(_rejected(Reason.MEDIA_UNREADABLE, f"FFmpeg gave up on the file: {error.strerror}. Check that it plays."))
    return 0


_OUT_OF_MEMORY = (
    "Reading the file needs more memory than media.memory_limit_bytes allows: convert it to a plain format such as "
    "flac, or raise the limit."
)


def _read(file: BinaryIO, job: "MediaJob", model: "SpeechModel", send: "Callable[[Message], None]") -> None:
    from transcriber_worker.media.opening import open_media
    from transcriber_worker.media.reading import Reading

    media = open_media(file)
    reading = Reading(media, job, model)
    send(media.info)
    steps = reading.steps()
    while sys.stdin.buffer.readline(_MAX_LINE_BYTES):
        step = next(steps, None)
        if step is None:
            send(reading.report)
            return
        send(step)


def _rejected(reason: Reason, message: str) -> "Message":
    from transcriber_worker.media.protocol import Rejected

    return Rejected(reason, message)


def _open_file(path: str) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RejectJob(Reason.MEDIA_UNREADABLE, "The source is a link.") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise RejectJob(Reason.MEDIA_UNREADABLE, "The source is not a file.")
    return os.fdopen(descriptor, "rb", buffering=0)


def _take_over_stdout() -> "Callable[[Message], None]":
    """Keep stdout for frames: what a library prints there goes to stderr."""
    out = os.dup(1)
    os.dup2(2, 1)

    def send(message: "Message") -> None:
        from transcriber_worker.media.protocol import encode

        for piece in encode(message):
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(out, rest) :]

    return send


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
