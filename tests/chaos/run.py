"""A storm at length: `python -m tests.chaos.run --stack kafka --jobs 5000 --kills 200 --seed 1`.

The last line says what came of it; the exit code is 1 where anything was amiss."""

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.nursery import nursery
from tests.chaos.programme import Programme, short_of
from tests.chaos.standing import NAMES, standing
from tests.chaos.storm import run_storm

_ALSO = {"queue": "oci_queue"}
"""As `make demo` calls it."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--stack", choices=[*NAMES, *_ALSO, "all"], default="all")
    options.add_argument("--jobs", type=int, default=5000)
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--each", type=int, default=3, help="how often each signal comes at each milestone, at least")
    options.add_argument("--outages", type=int, default=5, help="how often the broker dies, and how often the store")
    options.add_argument("--workers", type=int, default=4)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--keep", type=Path, help="a folder for logs and all; default: a temporary one")
    chosen = options.parse_args()
    logging.getLogger().addHandler(logging.NullHandler())  # what the servers' deaths look like from here is no news
    programme = Programme(
        jobs=chosen.jobs,
        kills=chosen.kills,
        each=chosen.each,
        outages=chosen.outages,
        workers=chosen.workers,
        seed=chosen.seed,
    )
    stacks = NAMES if chosen.stack == "all" else (_ALSO.get(chosen.stack, chosen.stack),)
    lines = []
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        for stack in stacks:
            root = (chosen.keep or Path(temporary)) / stack
            root.mkdir(parents=True)
            lines.append(_one(stack, root, programme))
    for line, _ in lines:
        _tell(line)
    return 0 if all(good for _, good in lines) else 1


def _one(name: str, root: Path, programme: Programme) -> tuple[str, bool]:
    begun = time.monotonic()
    with standing(name, root) as stack, nursery(stack.modules) as launch:
        outcome = run_storm(
            root, stack, programme, launch, lambda line: _tell(f"{time.monotonic() - begun:6.0f} s  {line}")
        )
    faults = [*outcome.faults, *(f"too seldom: {short}" for short in short_of(outcome.kill_log, programme.each))]
    for fault in faults:
        _tell(fault)
    return outcome.line(), not faults


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
