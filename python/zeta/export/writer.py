"""Writes a model's tensors, packed where they are to be, and reads them back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor
from tqdm import tqdm

from zeta.export.digest import digest
from zeta.export.errors import ExportError
from zeta.export.form import Form
from zeta.export.report import LINEAR, ExportReport, kind_of
from zeta.export.safetensors_files import SafetensorsWeights
from zeta.export.shards import ShardWriter
from zeta.export.skeleton import Skeleton
from zeta.export.source import Source
from zeta.export.target import Target


class ModelWriter:
    """Writes one model into one folder.

    Args:
        source: what to read.
        skeleton: what the model consists of.
        target: how to store it.
    """

    def __init__(self, source: Source, skeleton: Skeleton, target: Target) -> None:
        self._source, self._skeleton, self._target = source, skeleton, target
        self._digests: dict[str, str] = {}

    def write(self, folder: Path, limit: int, report: ExportReport) -> None:
        """Write the safetensors files, of at most `limit` bytes each, and enter sizes in `report`.

        Raises:
            ExportError: the disk is full, a source file is truncated, or a weight is not finite.
        """
        shards = ShardWriter(folder, limit)
        for name, shape in tqdm(self._skeleton.shapes.items(), desc="packing", unit="tensor", disable=None):
            size = report.sizes[kind_of(name, self._skeleton)]
            size.fp32 += 4 * shape.numel()
            for stored, tensor in self._tensors(name):
                shards.add(stored, tensor)
                size.packed += tensor.nbytes
        shards.finish()

    def verify(self, folder: Path, report: ExportReport) -> None:
        """Read every tensor back and compare it, packed ones by codes and scale; count them in `report`.

        Raises:
            ExportError: names the first one that is not what was meant.
        """
        written = SafetensorsWeights(folder)
        for name, expected in tqdm(self._digests.items(), desc="checking", unit="tensor", disable=None):
            if form := self._form_of(name):
                layer = name.removesuffix(".weight")
                tensors = {suffix: written.load(f"{layer}.{suffix}") for suffix in form.suffixes}
                found = digest(*form.decode(tensors))
                report.packed_layers += 1
            else:
                found = digest(written.load(name))
                report.plain_tensors += 1
            if found != expected:
                raise ExportError(
                    f"{folder}: {name} reads back differently than it was written; is the disk sound?"
                )

    def _tensors(self, name: str) -> Iterator[tuple[str, Tensor]]:
        """The tensors to store for the one that the model calls `name`."""
        tensor = self._source.seen(name)
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ExportError(
                f"{self._source.folder}: {name} is not finite: training diverged; take an earlier checkpoint"
            )
        if form := self._form_of(name):
            layer = name.removesuffix(".weight")
            codes, scale = self._source.quantized(name, self._target.precision, self._target.group_size)
            self._digests[name] = digest(codes, scale)
            encoded = form.encode(codes, scale, self._source.dtype)
            yield from ((f"{layer}.{suffix}", tensor) for suffix, tensor in encoded.items())
        else:
            plain = tensor.to(self._target.dtype) if tensor.is_floating_point() else tensor
            self._digests[name] = digest(plain)
            yield name, plain

    def _form_of(self, name: str) -> Form | None:
        """How the tensor is packed, if it is."""
        return self._target.form if kind_of(name, self._skeleton) == LINEAR else None
