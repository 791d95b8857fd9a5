"""Weights of a plain Hugging Face folder: one `model.safetensors`, or several with an index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zeta.export.errors import ExportError
from zeta.export.json_file import read_json

FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"


class SafetensorsWeights:
    """The tensors of a folder's safetensors files, mapped and read one at a time.

    Raises:
        ExportError: a file is missing or truncated, or lacks a tensor that the index says it has.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Any] = {}
        self._file_of = self._read_index()
        self._shapes = {name: self._shape(name) for name in self._file_of}

    @property
    def shapes(self) -> dict[str, torch.Size]:
        return self._shapes

    def load(self, name: str) -> Tensor:
        tensor: Tensor = self._open(self._file_of[name]).get_tensor(name)
        return tensor

    def _read_index(self) -> dict[str, str]:
        """The file that holds each tensor."""
        index = self._folder / INDEX
        if not index.exists():
            return dict.fromkeys(self._open(FILE).keys(), FILE)
        files = read_json(index).get("weight_map")
        if not isinstance(files, dict):
            raise ExportError(f"{index}: has no weight_map")
        return files

    def _shape(self, name: str) -> torch.Size:
        file = self._file_of[name]
        try:
            return torch.Size(self._open(file).get_slice(name).get_shape())
        except SafetensorError as error:
            raise ExportError(
                f"{self._folder / file}: has no tensor {name}, which {INDEX} places there"
            ) from error

    def _open(self, file: str) -> Any:
        if file not in self._files:
            path = self._folder / file
            try:
                self._files[file] = safe_open(path, framework="pt")
            except FileNotFoundError as error:
                raise ExportError(f"{path}: missing") from error
            except (SafetensorError, OSError) as error:
                raise ExportError(f"{path}: truncated, or no safetensors file: {error}") from error
        return self._files[file]
