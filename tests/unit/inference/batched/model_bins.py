"""Files of weights, laid out as CTranslate2's converter does."""

import struct
from collections.abc import Mapping
from pathlib import Path


def text(value: str) -> bytes:
    raw = value.encode() + b"\0"
    return struct.pack("<H", len(raw)) + raw


def weights(
    path: Path, shapes: dict[str, tuple[int, ...]], version: int = 6, aliases: Mapping[str, str] | None = None
) -> Path:
    """A model.bin as CTranslate2's converter lays it out, of one byte a value. `aliases`: second names, of what."""
    aliases = aliases or {}
    parts = [struct.pack("<I", version), text("WhisperSpec"), struct.pack("<II", 3, len(shapes))]
    for name, shape in shapes.items():
        size = 1
        for length in shape:
            size *= length
        parts += [text(name), struct.pack(f"<B{len(shape)}I", len(shape), *shape), struct.pack("<BI", 1, size)]
        parts.append(bytes(size))
    parts.append(struct.pack("<I", len(aliases)))
    parts += [text(alias) + text(name) for alias, name in aliases.items()]
    path.write_bytes(b"".join(parts))
    return path


def a_model(path: Path, *, layers: int = 3, version: int = 6) -> Path:
    shapes: dict[str, tuple[int, ...]] = {"encoder/num_heads": (), "encoder/layer_7/ffn/linear_0/weight": (8, 2)}
    shapes |= {f"decoder/layer_{n}/attention/linear_0/weight": (4, 4) for n in range(layers)}
    shapes |= {"decoder/layer_norm/gamma": (4,), "decoder/embeddings/weight": (51, 4)}
    return weights(path, shapes, version)
