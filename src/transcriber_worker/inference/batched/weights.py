"""A model's weights as CTranslate2's converter lays them out in model.bin: what there is, and the values themselves."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

_OLDEST_LAYOUT = 4
"""Models converted before this version name no type for their weights."""


class Kind(IntEnum):
    """How a weight's values are stored; the numbers are the file's."""

    FLOAT32 = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    FLOAT16 = 4
    BFLOAT16 = 5


_STORED: Mapping[Kind, type[np.generic]] = {
    Kind.FLOAT32: np.float32,
    Kind.INT8: np.int8,
    Kind.INT16: np.int16,
    Kind.INT32: np.int32,
    Kind.FLOAT16: np.float16,
    Kind.BFLOAT16: np.uint16,  # numpy has no such numbers: their bits
}


@dataclass(frozen=True, slots=True)
class Weight:
    """Where one weight lies in the file."""

    shape: tuple[int, ...]
    kind: int
    """A `Kind`, unless CTranslate2 has got a new one."""
    offset: int
    size_bytes: int


class WeightsFile:
    """model.bin, mapped: values are read from the disk as they are asked for."""

    def __init__(self, path: Path) -> None:
        """Raises `ValueError` for a file that is laid out otherwise, or ends too early."""
        self._path = path
        with path.open("rb") as file:
            found = dict(_weight(file) for _ in range(_count(file, path)))
            aliases = [(_name(file), _name(file)) for _ in range(_numbers(file, "I")[0])]
        unknown = sorted({name for _, name in aliases} - set(found))
        if unknown:
            raise ValueError(f"{path}: lacks {unknown[0]}, which it gives a second name")
        self.weights: Mapping[str, Weight] = found | {alias: found[name] for alias, name in aliases}
        self._bytes: npt.NDArray[np.uint8] = np.asarray(np.memmap(path, np.uint8, mode="r"))

    def floats(self, name: str) -> npt.NDArray[Any]:
        """A weight's values, a copy: float16 or float32, those that were quantised as they were before. Raises
        `ValueError` for what the file does not have, or has in a form unknown here."""
        kind, values = self._values(name)
        if kind in (Kind.FLOAT32, Kind.FLOAT16):
            return values.copy()  # in the file they are not aligned
        if kind is Kind.BFLOAT16:
            return (values.astype(np.uint32) << 16).view(np.float32)  # the upper half of a float32
        if kind in (Kind.INT8, Kind.INT16) and f"{name}_scale" in self.weights:
            scale = self.floats(f"{name}_scale").astype(np.float32)  # one for each output, or for all
            return values.astype(np.float32) / scale.reshape(scale.shape + (1,) * (values.ndim - scale.ndim))
        raise ValueError(f"{self._path}: {name} is stored in a form that is not known here")

    def integer(self, name: str) -> int:
        """A weight that is a single whole number."""
        return int(self._values(name)[1].item())

    def _values(self, name: str) -> tuple[Kind, npt.NDArray[Any]]:
        """A weight's values as they are stored, where they lie."""
        weight = self.weights.get(name)
        if weight is None:
            raise ValueError(f"{self._path}: lacks {name}")
        kind = Kind(weight.kind)
        lying = self._bytes[weight.offset : weight.offset + weight.size_bytes]
        return kind, lying.view(_STORED[kind]).reshape(weight.shape)


def _count(file: BinaryIO, path: Path) -> int:
    """How many weights there are."""
    (version,) = _numbers(file, "I")
    if version < _OLDEST_LAYOUT:
        raise ValueError(f"{path}: converted for CTranslate2 of long ago; convert the model again")
    _name(file)
    _, count = _numbers(file, "II")
    return count


def _weight(file: BinaryIO) -> tuple[str, Weight]:
    """One weight's name and place; its values are passed over."""
    name = _name(file)
    (rank,) = _numbers(file, "B")
    shape = _numbers(file, f"{rank}I")
    kind, size_bytes = _numbers(file, "BI")
    weight = Weight(shape, kind, file.tell(), size_bytes)
    file.seek(size_bytes, 1)
    return name, weight


def _name(file: BinaryIO) -> str:
    (length,) = _numbers(file, "H")
    return file.read(length).rstrip(b"\0").decode()


def _numbers(file: BinaryIO, layout: str) -> tuple[int, ...]:
    read = file.read(struct.calcsize(f"<{layout}"))
    try:
        return struct.unpack(f"<{layout}", read)
    except struct.error:
        raise ValueError("the model's weights end too early") from None
