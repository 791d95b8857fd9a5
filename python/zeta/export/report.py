"""What an export did: sizes before and after, and what was checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from zeta.export.skeleton import Skeleton

LINEAR, EMBEDDINGS, REST = KINDS = ("linear layers", "embeddings", "rest")


@dataclass
class Size:
    """Bytes of tensors: as fp32 masters, and as written."""

    fp32: int = 0
    packed: int = 0

    @property
    def ratio(self) -> float:
        """How many times smaller; 1 for nothing."""
        return self.fp32 / self.packed if self.packed else 1.0


@dataclass
class ExportReport:
    """The outcome of `zeta.export.export`; as a string, a table for people.

    Attributes:
        out: the folder that was written.
        precision: of its linear layers: a precision of `BitLinear` or `"none"`.
        sizes: by kind of tensor, one of `KINDS`.
        packed_layers: linear layers that were packed; codes and scales of each were read back and compared.
        plain_tensors: the other tensors, likewise.
        notes: what the user should know, a line each.
    """

    out: Path
    precision: str
    sizes: dict[str, Size] = field(default_factory=lambda: {kind: Size() for kind in KINDS})
    packed_layers: int = 0
    plain_tensors: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def total(self) -> Size:
        sizes = self.sizes.values()
        return Size(sum(size.fp32 for size in sizes), sum(size.packed for size in sizes))

    def __str__(self) -> str:
        rows = [*self.sizes.items(), ("total", self.total)]
        table = [f"{'':14}{'fp32':>12}{self._column():>12}{'ratio':>9}"]
        table += [f"{kind:14}{_bytes(s.fp32):>12}{_bytes(s.packed):>12}{s.ratio:>8.2f}×" for kind, s in rows]
        checked = (
            f"read back and compared: {self.packed_layers} packed layers, {self.plain_tensors} other tensors"
        )
        return "\n".join([*(f"note: {note}" for note in self.notes), *table, checked, f"wrote {self.out}"])

    def _column(self) -> str:
        return "plain" if self.precision == "none" else self.precision


def kind_of(name: str, skeleton: Skeleton) -> str:
    """The kind of the tensor that is called `name` before packing."""
    if name in skeleton.embeddings:
        return EMBEDDINGS
    layer, _, parameter = name.rpartition(".")
    return LINEAR if parameter == "weight" and layer in skeleton.linear else REST


def _bytes(count: int) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.4g} {unit}"
        count /= 1000
    return f"{count:.4g} GB"
