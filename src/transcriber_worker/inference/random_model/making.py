"""Models made of random weights, on disk, as faster-whisper and the engine load them."""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from ctranslate2.specs import WhisperSpec

from transcriber_worker.inference.model_catalogue import WEIGHTS
from transcriber_worker.inference.random_model.decoder_weights import fill_decoder
from transcriber_worker.inference.random_model.encoder_weights import fill_encoder
from transcriber_worker.inference.random_model.randomness import Randomness
from transcriber_worker.inference.random_model.shapes import Shape
from transcriber_worker.inference.random_model.vocabulary import Vocabulary

_VERSION = 1
"""To be raised when other weights are made of the same shape."""
_MADE = "made.json"
_SEED = 1


@dataclass(frozen=True, slots=True)
class RandomModel:
    """A directory with a model in it."""

    name: str
    path: Path
    sha256: str
    """Of its weights."""


def random_model(shape: Shape, place: Path, vocabulary_of: Path) -> RandomModel:
    """The model of this shape below `place`, made there unless it is there already. `vocabulary_of`: the directory of a
    small multilingual model. Raises `OSError`, and `ValueError` where that is no such model."""
    folder = place / shape.name
    # Tuples are lists once they are read back.
    wanted = json.loads(json.dumps({"version": _VERSION, "seed": _SEED, "shape": asdict(shape)}))
    try:
        made = json.loads((folder / _MADE).read_text(encoding="utf-8"))
        if {name: made.get(name) for name in wanted} == wanted:
            return RandomModel(shape.name, folder, made["sha256"])
    except (OSError, ValueError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _write(shape, folder, Vocabulary.read(vocabulary_of))
    with (folder / WEIGHTS).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    # Last: whoever finds it finds all.
    (folder / _MADE).write_text(json.dumps({**wanted, "sha256": digest}), encoding="utf-8")
    return RandomModel(shape.name, folder, digest)


def _write(shape: Shape, folder: Path, vocabulary: Vocabulary) -> None:
    random = Randomness(_SEED)
    spec = WhisperSpec(shape.encoder_layers, shape.heads, shape.decoder_layers, shape.heads)
    fill_encoder(spec.encoder, shape, random)
    fill_decoder(spec.decoder, shape, vocabulary, random)
    spec.register_vocabulary(list(vocabulary.tokens))
    spec.config.suppress_ids = list(vocabulary.suppressed)
    spec.config.suppress_ids_begin = list(vocabulary.suppressed_at_first)
    spec.config.lang_ids = list(vocabulary.languages)
    spec.config.alignment_heads = [list(head) for head in shape.alignment_heads]
    spec.validate()
    spec.optimize("float16")
    spec.save(str(folder))
    (folder / "tokenizer.json").write_text(json.dumps(vocabulary.tokenizer, ensure_ascii=False), encoding="utf-8")
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_size": shape.bands}), encoding="utf-8")
