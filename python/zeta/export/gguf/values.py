"""The typed values of a GGUF header, little-endian: numbers, strings and lists of them."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

_NUMBERS = {
    0: "u1",
    1: "i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
_BOOL, _STRING, _ARRAY = 7, 8, 9


class Truncated(Exception):
    """The bytes end before the value does, or the value is none."""


class Cursor:
    """Reads forward through bytes; every length is checked against what is left.

    Raises:
        Truncated: names the byte at which reading stopped making sense.
    """

    def __init__(self, data: memoryview) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> memoryview:
        if count > len(self.data) - self.at:
            raise Truncated(
                f"truncated: byte {self.at} starts {count} bytes, {len(self.data) - self.at} are left"
            )
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def string(self) -> str:
        start = self.at
        try:
            return str(self.take(self.integer(8)), "utf-8")
        except UnicodeDecodeError as error:
            raise Truncated(f"byte {start} starts a string that is not UTF-8") from error

    def value(self) -> Any:
        """A value after its type."""
        return self._value(self.integer(4))

    def _value(self, type: int) -> Any:
        if type in _NUMBERS:
            kind = np.dtype(_NUMBERS[type])
            return np.frombuffer(self.take(kind.itemsize), kind)[0].item()
        if type == _BOOL:
            return bool(self.integer(1))
        if type == _STRING:
            return self.string()
        if type == _ARRAY:
            return self._list(self.integer(4), self.integer(8))
        raise Truncated(f"byte {self.at} follows a value of unknown type {type}")

    def _list(self, type: int, count: int) -> list[Any]:
        if type in _NUMBERS:
            kind = np.dtype(_NUMBERS[type])
            return np.frombuffer(self.take(count * kind.itemsize), kind).tolist()
        if type == _BOOL:
            return [bool(byte) for byte in self.take(count)]
        if type != _STRING:
            raise Truncated(f"byte {self.at} starts a list of unknown type {type}")
        if count > len(self.data) - self.at:  # a string has 8 bytes at least
            raise Truncated(f"truncated: byte {self.at} starts {count} strings, too many for the file")
        return [self.string() for _ in range(count)]


def string_bytes(text: str) -> bytes:
    """A string as it is stored."""
    content = text.encode()
    return struct.pack("<Q", len(content)) + content


def value_bytes(value: Any) -> bytes:
    """A value after its type: bool, uint32, int64, float32, string, or a list of one of int32, float32, string."""
    if isinstance(value, bool):
        return struct.pack("<IB", _BOOL, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value) if 0 <= value < 1 << 32 else struct.pack("<Iq", 11, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + string_bytes(value)
    if isinstance(value[0], str):
        return struct.pack("<IIQ", _ARRAY, _STRING, len(value)) + b"".join(map(string_bytes, value))
    kind, type = ("<f4", 6) if isinstance(value[0], float) else ("<i4", 5)
    return struct.pack("<IIQ", _ARRAY, type, len(value)) + np.array(value, kind).tobytes()
