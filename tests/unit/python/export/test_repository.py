"""Modules written for zeta-server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from zeta.export import ExportError, export_repository


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x) + shift, x.argmax(1)


INPUTS = {"shift": torch.ones(2, 3), "x": torch.randn(2, 4)}
CONFIG = """name: "two"
backend: "pytorch"
platform: "pytorch_libtorch"
max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] }
input { name: "shift" data_type: TYPE_FP32 dims: [ 3 ] }
output { name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 3 ] }
output { name: "OUTPUT__1" data_type: TYPE_INT64 dims: [ 1 ] reshape { shape: [ ] } }
dynamic_batching { }
"""


def test_writes_model_configuration_and_sidecar(tmp_path: Path) -> None:
    module = Two()
    out = export_repository(module, INPUTS, tmp_path / "two", max_batch_size=8)
    assert (out / "config.pbtxt").read_text() == CONFIG, "inputs in forward's order"
    tensors = json.loads((out / "1/tensors.json").read_text())
    assert tensors["inputs"][0] == {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
    assert tensors["outputs"][1] == {"name": "OUTPUT__1", "datatype": "INT64", "shape": [-1]}
    loaded = torch.jit.load(out / "1/model.pt")
    x = torch.randn(5, 4)
    torch.testing.assert_close(loaded(x, torch.zeros(5, 3))[0], module.layer(x))


def test_without_batches_shapes_are_as_they_are(tmp_path: Path) -> None:
    out = export_repository(Two(), INPUTS, tmp_path / "two")
    assert "dims: [ 2, 4 ]" in (out / "config.pbtxt").read_text()
    assert "dynamic_batching" not in (out / "config.pbtxt").read_text()


def test_replaces_only_what_it_wrote(tmp_path: Path) -> None:
    out = export_repository(Two(), INPUTS, tmp_path / "two")
    with pytest.raises(ExportError, match="exists"):
        export_repository(Two(), INPUTS, out)
    export_repository(Two(), INPUTS, out, max_batch_size=4, overwrite=True)
    assert "max_batch_size: 4" in (out / "config.pbtxt").read_text()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").touch()
    with pytest.raises(ExportError, match="is no model folder"):
        export_repository(Two(), INPUTS, tmp_path / "mine", overwrite=True)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({**INPUTS, "z": torch.ones(2)}, "input 'z' is no argument of forward, which has x, shift"),
        ({**INPUTS, "x": torch.ones(1, 4)}, r"input 'x': expected a batch of at least 2 items, got \[1, 4\]"),
    ],
)
def test_refuses(tmp_path: Path, inputs: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        export_repository(Two(), inputs, tmp_path / "two", max_batch_size=8)
    assert not (tmp_path / "two").exists()


def test_a_failing_export_keeps_the_folder_before(tmp_path: Path) -> None:
    class Sum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sum()

    out = export_repository(Sum(), {"x": torch.ones(2, 3)}, tmp_path / "sum")
    before = (out / "config.pbtxt").read_text()
    with pytest.raises(ExportError, match=r"'OUTPUT__0': expected 2 items, as the inputs have, got \[\]"):
        export_repository(Sum(), {"x": torch.ones(2, 3)}, out, max_batch_size=4, overwrite=True)

    class Other(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return {1: x, 2: x}[len(open("/dev/null").read()) + 1]

    with pytest.raises(ExportError, match="cannot be compiled"):
        export_repository(Other(), {"x": torch.ones(2)}, out, overwrite=True)
    assert (out / "config.pbtxt").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["sum"]


def test_refuses_what_cannot_be_compiled(tmp_path: Path) -> None:
    class Other(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return {1: x, 2: x}[len(open("/dev/null").read()) + 1]

    with pytest.raises(ExportError, match="cannot be compiled as torchscript"):
        export_repository(Other(), {"x": torch.ones(2)}, tmp_path / "other")


def test_writes_packages_for_any_batch(tmp_path: Path) -> None:
    module = Two().eval()
    out = export_repository(module, INPUTS, tmp_path / "two", format="aoti", max_batch_size=8)
    assert 'platform: "torch_aoti"' in (out / "config.pbtxt").read_text()
    package = torch._inductor.aoti_load_package(str(out / "1/model.pt2"))
    for batch in (1, 8):
        x = torch.randn(batch, 4)
        torch.testing.assert_close(package(x, torch.zeros(batch, 3))[0], module.layer(x))
