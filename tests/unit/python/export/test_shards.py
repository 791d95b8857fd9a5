"""One safetensors file, or several with an index, read back as the Hugging Face layout says."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from zeta.export import ExportError
from zeta.export.safetensors_files import SafetensorsWeights
from zeta.export.shards import ShardWriter

TENSORS = {f"t{i}": torch.full((10,), i, dtype=torch.float32) for i in range(7)}


def write(folder: Path, limit: int) -> None:
    writer = ShardWriter(folder, limit)
    for name, tensor in TENSORS.items():
        writer.add(name, tensor)
    writer.finish()


def test_one_file(tmp_path: Path) -> None:
    write(tmp_path, limit=280)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert load_file(tmp_path / "model.safetensors").keys() == TENSORS.keys()


def test_others_may_read_what_the_umask_allows(tmp_path: Path) -> None:
    write(tmp_path, limit=280)
    (tmp_path / "plain").touch()
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("limit, files", [(80, 4), (79, 7), (1, 7), (279, 2)])
def test_several_files(tmp_path: Path, limit: int, files: int) -> None:
    write(tmp_path, limit)
    names = {f"model-{i + 1:05}-of-{files:05}.safetensors" for i in range(files)}
    assert {path.name for path in tmp_path.iterdir()} == names | {"model.safetensors.index.json"}
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 280
    weights = SafetensorsWeights(tmp_path)
    assert weights.shapes.keys() == TENSORS.keys()
    assert all(torch.equal(weights.load(name), tensor) for name, tensor in TENSORS.items())


def test_index_that_lies(tmp_path: Path) -> None:
    write(tmp_path, limit=80)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(index.read_text().replace('"t6"', '"t9"'))
    with pytest.raises(ExportError, match="has no tensor t9"):
        SafetensorsWeights(tmp_path)


def test_missing_file(tmp_path: Path) -> None:
    write(tmp_path, limit=80)
    (tmp_path / "model-00002-of-00004.safetensors").unlink()
    with pytest.raises(ExportError, match="model-00002-of-00004.safetensors: missing"):
        SafetensorsWeights(tmp_path)


@pytest.mark.parametrize("keep", [0, 4, 60, -1])
def test_truncated_file(tmp_path: Path, keep: int) -> None:
    write(tmp_path, limit=280)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ExportError, match="model.safetensors: truncated, or no safetensors file"):
        SafetensorsWeights(tmp_path)
