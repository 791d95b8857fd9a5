"""A GGUF file: a header of typed values, the tensors' names, shapes and places, then their bytes.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Versions 2 and 3, little-endian.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from zeta.export.errors import ExportError
from zeta.export.gguf.types import IDS, TYPES, TensorType, byte_size
from zeta.export.gguf.values import Cursor, Truncated, string_bytes, value_bytes

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT = 32
_MAX_DIMENSIONS = 4


class Stored(NamedTuple):
    """One tensor: shape as torch has it (a row of blocks is the last extent), and its bytes' place."""

    type: TensorType
    shape: tuple[int, ...]
    begin: int
    end: int


class GgufFile:
    """A file that was checked whole: every tensor's type is known and its bytes lie in the file, apart from others'.

    Bytes are mapped and read as they are used.

    Attributes:
        values: the header's values by key.
        tensors: by name, in the file's order.
    Raises:
        ExportError: missing, truncated, inconsistent or of an unknown version or type; names the file and the thing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._map = _map_file(path)
        cursor = Cursor(memoryview(self._map))
        try:
            self.values, self.tensors = self._read(cursor)
        except Truncated as error:
            raise ExportError(f"{path}: no GGUF file that can be read: {error}") from None

    def load(self, name: str) -> Tensor:
        """The tensor as it is stored: of its shape if it is plain, else uint8 rows of blocks."""
        stored = self.tensors[name]
        raw = torch.frombuffer(
            self._map, dtype=torch.uint8, count=stored.end - stored.begin, offset=stored.begin
        )
        if stored.type.dtype is None:
            return raw.view(*stored.shape[:-1], -1)
        return (
            raw.clone().view(stored.type.dtype).view(stored.shape)
        )  # the file's alignment need not be torch's

    def _read(self, cursor: Cursor) -> tuple[dict[str, Any], dict[str, Stored]]:
        if bytes(cursor.take(4)) != MAGIC:
            raise Truncated("it does not start with GGUF")
        version = cursor.integer(4)
        if version not in _VERSIONS:
            raise Truncated(f"expected version 2 or 3, little-endian, got {version}")
        tensors, count = cursor.integer(8), cursor.integer(8)
        values: dict[str, Any] = {}
        for _ in range(count):
            key = cursor.string()
            if key in values:
                raise Truncated(f"key {key!r} is there twice")
            values[key] = cursor.value()
        infos = [self._read_info(cursor) for _ in range(tensors)]
        alignment = values.get("general.alignment", _ALIGNMENT)
        if type(alignment) is not int or alignment <= 0 or alignment & (alignment - 1):
            raise Truncated(f"expected general.alignment to be a power of 2, got {alignment!r}")
        return values, self._place(infos, -(-cursor.at // alignment) * alignment, alignment)

    def _read_info(self, cursor: Cursor) -> tuple[str, Stored]:
        name = cursor.string()
        dimensions = cursor.integer(4)
        if not 1 <= dimensions <= _MAX_DIMENSIONS:
            raise Truncated(f"tensor {name!r}: expected 1 to {_MAX_DIMENSIONS} dimensions, got {dimensions}")
        shape = tuple(cursor.integer(8) for _ in range(dimensions))[::-1]
        id, offset = cursor.integer(4), cursor.integer(8)
        if id not in TYPES:
            known = ", ".join(IDS)
            raise Truncated(f"tensor {name!r}: expected a type of {known}, got number {id}")
        kind = TYPES[id]
        if 0 in shape or shape[-1] % kind.elements:
            raise Truncated(
                f"tensor {name!r}: expected {kind.name} rows of a multiple of {kind.elements}, got {list(shape)}"
            )
        return name, Stored(kind, shape, offset, offset + byte_size(kind, shape))

    def _place(self, infos: list[tuple[str, Stored]], data: int, alignment: int) -> dict[str, Stored]:
        tensors: dict[str, Stored] = {}
        for name, stored in infos:
            begin, end = data + stored.begin, data + stored.end
            if stored.begin % alignment or end > len(self._map):
                raise Truncated(
                    f"tensor {name!r}: expected bytes {begin} to {end}, of a file of {len(self._map)}, "
                    f"at a multiple of {alignment}"
                )
            if name in tensors:
                raise Truncated(f"tensor {name!r} is there twice")
            tensors[name] = stored._replace(begin=begin, end=end)
        last, last_name = 0, ""
        for name, stored in sorted(tensors.items(), key=lambda item: item[1].begin):
            if stored.begin < last:
                raise Truncated(f"tensors {last_name!r} and {name!r} overlap at byte {stored.begin}")
            last, last_name = stored.end, name
        return tensors


class GgufWriter:
    """Writes a file: the header first, which says what will come, then tensor for tensor in that order.

    Args:
        file: opened for writing bytes.
        values: the header's values; bool, int, float, str, or a list that is not empty of int, float or str.
        tensors: type and shape by name.
    """

    def __init__(
        self, file: BinaryIO, values: dict[str, Any], tensors: dict[str, tuple[str, tuple[int, ...]]]
    ) -> None:
        self._file = file
        head = [MAGIC, struct.pack("<IQQ", 3, len(tensors), len(values))]
        head += [string_bytes(key) + value_bytes(value) for key, value in values.items()]
        offset = 0
        self._sizes: dict[str, int] = {}
        for name, (type, shape) in tensors.items():
            size = byte_size(TYPES[IDS[type]], shape)
            extents = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
            head.append(string_bytes(name) + extents + struct.pack("<IQ", IDS[type], offset))
            self._sizes[name] = size
            offset += _padded(size)
        file.write(b"".join(head))
        file.write(bytes(-file.tell() % _ALIGNMENT))

    def add(self, name: str, tensor: Tensor) -> None:
        """Write the tensor that comes next, plain or as bytes of blocks."""
        assert name == next(iter(self._sizes)), name
        assert tensor.nbytes == self._sizes.pop(name), name
        self._file.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        self._file.write(bytes(_padded(tensor.nbytes) - tensor.nbytes))


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _map_file(path: Path) -> mmap.mmap:
    try:
        if not path.is_file():
            raise ExportError(f"{path}: no such file")
        with path.open("rb") as file:
            return mmap.mmap(
                file.fileno(), 0, access=mmap.ACCESS_COPY
            )  # torch wants memory that can be written
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise ExportError(f"{path}: cannot be read: {error}") from error
