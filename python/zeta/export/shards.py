"""Writes tensors into one `model.safetensors`, or several with an index, as Hugging Face does."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from zeta.export.errors import ExportError
from zeta.export.safetensors_files import FILE, INDEX


class ShardWriter:
    """Takes tensors one at a time and holds at most one file's worth of them in memory.

    Args:
        folder: where to write.
        limit: bytes of tensors in one file; a single larger tensor gets a file of its own.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._pending: dict[str, Tensor] = {}
        self._pending_bytes = 0
        self._shards: list[list[str]] = []
        self._total_bytes = 0

    def add(self, name: str, tensor: Tensor) -> None:
        """Take one tensor.

        Raises:
            ExportError: the disk is full or fails.
        """
        if self._pending and self._pending_bytes + tensor.nbytes > self._limit:
            self._flush()
        self._pending[name] = tensor.contiguous()
        self._pending_bytes += tensor.nbytes
        self._total_bytes += tensor.nbytes

    def finish(self) -> None:
        """Write what is left, give the files their final names, and write the index if there are several."""
        self._flush()
        count = len(self._shards)
        names = (
            [FILE] if count == 1 else [f"model-{i + 1:05}-of-{count:05}.safetensors" for i in range(count)]
        )
        for index, name in enumerate(names):
            self._path(index).rename(self._folder / name)
        if count > 1:
            weight_map = {
                tensor: name for name, shard in zip(names, self._shards, strict=True) for tensor in shard
            }
            content = {"metadata": {"total_size": self._total_bytes}, "weight_map": weight_map}
            (self._folder / INDEX).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

    def _flush(self) -> None:
        path = self._path(len(self._shards))
        path.touch()
        mode = path.stat().st_mode
        try:
            save_file(self._pending, path, metadata={"format": "pt"})
            path.chmod(mode)  # save_file makes files that only their owner can read
        except SafetensorError as error:
            raise ExportError(f"{path}: {error}; nothing was exported") from error
        self._shards.append(list(self._pending))
        self._pending = {}
        self._pending_bytes = 0

    def _path(self, index: int) -> Path:
        return self._folder / f"shard-{index}.safetensors"
