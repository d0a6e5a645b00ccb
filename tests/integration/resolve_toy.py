"""Resolves a model of a few bytes in a process of its own: `python -m tests.integration.resolve_toy CACHE SOURCE`.

Prints a JSON line for each line of progress, and last the folder or the error.
"""

import hashlib
import json
import sys
from pathlib import Path

from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.inference import model_files
from transcriber_worker.inference.model_catalogue import WEIGHTS, NamedModel, PackagedModel
from transcriber_worker.settings import ModelSettings

CONTENT = {WEIGHTS: b"first half, second half", "config.json": b"{}", "tokenizer.json": b"[]"}
PARTS = {
    "toy_part1": {"m.part1": b"first half,", "config.json": b"{}", "tokenizer.json": b"[]"},
    "toy_part2": {"m.part2": b" second half"},
}
TOY = NamedModel(
    repository="nobody/toy",
    revision="a" * 40,
    size_bytes=len(CONTENT[WEIGHTS]),
    encoder_parameters=0,
    digests={name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()},
    packaged=PackagedModel(
        requirements=("toy-part1==1.0.0", "toy-part2==1.0.0"),
        members={
            WEIGHTS: (("toy_part1", "toy_part1/data/m.part1"), ("toy_part2", "toy_part2/data/m.part2")),
            "config.json": (("toy_part1", "toy_part1/data/config.json"),),
            "tokenizer.json": (("toy_part1", "toy_part1/data/tokenizer.json"),),
        },
    ),
)


def say(**line: str) -> None:
    sys.stdout.write(json.dumps(line) + "\n")


def main(cache: str, source: str) -> None:
    vars(model_files)["CATALOGUE"] = {"toy": TOY}
    settings = ModelSettings.model_validate({"name": "toy", "cache_dir": Path(cache), "source": source})
    try:
        found = model_files.resolve(settings, lambda line: say(progress=line))
    except WorkerBroken as error:
        say(error=str(error))
    else:
        say(path=str(found.path))


if __name__ == "__main__":
    main(*sys.argv[1:])
