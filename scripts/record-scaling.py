#!/usr/bin/env python3
"""Record how a cluster would scale: a real broker, a real queue-exporter and real workers, in the scenarios of
docs/scaling.md, into docs/scaling/*.json.

    python scripts/record-scaling.py                 # every scenario: about a quarter of an hour
    python scripts/record-scaling.py burst kafka     # some of them

KEDA and its HPA are calculated (tests/scaling/); the workers that they ask for are started, and told to stop. Each
second stands for fifteen of a cluster, with the exporter's interval and the drain divided by as much. The model is the
fake one, which takes its time and says made-up words. For recordings worth keeping nothing else should run. Afterwards
`python scripts/gen-scaling.py` writes the tables.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))  # the brokers, the workers and the rules are the tests' own

from tests.kafka_server import NotToBeHad  # noqa: E402
from tests.scaling.recordings import FOLDER  # noqa: E402
from tests.scaling.scenarios import SCENARIOS, record  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("scenario", nargs="*", help=f"default: all of {', '.join(SCENARIOS)}")
    parser.add_argument("--into", type=Path, default=FOLDER, help="folder (default: docs/scaling)")
    chosen = parser.parse_args()
    if unknown := set(chosen.scenario) - set(SCENARIOS):
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what it has started ends with it
    for name in chosen.scenario or SCENARIOS:
        with tempfile.TemporaryDirectory(prefix="scaling-") as root:
            try:
                recording = record(SCENARIOS[name], Path(root))
            except NotToBeHad as reason:
                sys.stderr.write(f"{name}: {reason}\n")
                return 1
            path = recording.save(chosen.into)
        print(f"{path}: {len(recording.samples)} turns, {recording.outcome}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
