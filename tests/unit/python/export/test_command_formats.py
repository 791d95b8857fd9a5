"""`python -m zeta.export --format`: models of a repository."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from zeta.export.__main__ import main

SOURCE = """
import torch

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)

ready = Network()
number = 3
"""


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the user's in the current folder; each test's has a name of its own."""
    name = f"user_model_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_torchscript(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = {"layer.weight": torch.ones(3, 4), "layer.bias": torch.zeros(3)}
    torch.save(state, tmp_path / "state.pt")
    words = [f"{source}:Network", "models/net", "--format", "torchscript", "--input", "x:FP32:2,4"]
    assert main([*words, "--max-batch-size", "8", "--weights", "state.pt"]) == 0
    assert capsys.readouterr().out == "wrote models/net\n"
    config = (tmp_path / "models/net/config.pbtxt").read_text()
    assert 'platform: "pytorch_libtorch"' in config and "max_batch_size: 8" in config
    loaded = torch.jit.load(tmp_path / "models/net/1/model.pt")
    torch.testing.assert_close(loaded(torch.ones(1, 4)), torch.full((1, 3), 4.0))
    assert main(words) == 1, "it is there already"
    assert main([*words, "--overwrite"]) == 0


def test_module_that_is_there_already(source: str, tmp_path: Path) -> None:
    assert main([f"{source}:ready", "net", "--format", "torchscript", "--input", "x:FP32:4"]) == 0
    assert "dims: [ 4 ]" in (tmp_path / "net/config.pbtxt").read_text()


@pytest.mark.timeout(600)  # the compiler takes its time on a busy machine
def test_package(source: str, tmp_path: Path) -> None:
    words = [f"{source}:Network", "net", "--format", "aoti", "--input", "x:FP32:2,4", "--max-batch-size", "4"]
    assert main(words) == 0
    assert 'platform: "torch_aoti"' in (tmp_path / "net/config.pbtxt").read_text()
    assert (tmp_path / "net/1/model.pt2").stat().st_size > 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("nowhere:Network", "No module named 'nowhere'"),
        ("{}:Missing", "has no attribute 'Missing'"),
        ("{}:number", "not callable"),
        ("{}", "expected MODULE:NAME"),
    ],
)
def test_no_such_module(source: str, wrong: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [wrong.format(source), "net", "--format", "torchscript", "--input", "x:FP32:4"]
    assert main(words) == 1
    assert said in capsys.readouterr().err


def test_weights_of_another_module(source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"other": torch.ones(1)}, tmp_path / "state.pt")
    words = [f"{source}:Network", "net", "--format", "torchscript", "--input", "x:FP32:4"]
    assert main([*words, "--weights", "state.pt"]) == 1
    assert "state.pt: Error(s) in loading state_dict" in capsys.readouterr().err
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        ["--format", "torchscript"],
        ["--format", "torchscript", "--input", "x:FP32:4", "--precision", "4bit"],
        ["--input", "x:FP32:4"],
        ["--format", "zeta", "--max-batch-size", "4"],
        ["--format", "aoti", "--input", "x:FLOAT:4"],
        ["--format", "aoti", "--input", "x:FP32:0"],
        ["--format", "onnx"],
    ],
)
def test_options_that_do_not_go_together(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["source", "out", *wrong])
    assert capsys.readouterr().err.count("\n") == 1


def test_engine_repository(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "models/tiny"
    words = [str(checkpoint), str(out), "--format", "zeta", "--precision", "4bit"]
    assert main(words) == 0
    assert f"wrote {out}" in capsys.readouterr().out
    assert (out / "config.pbtxt").read_text() == 'name: "tiny"\nbackend: "zeta"\n'
    assert (out / "1/config.json").exists() and (out / "1/tokenizer.json").exists()
    assert [path.name for path in out.parent.iterdir()] == ["tiny"]
    assert main(words) == 1
    assert main([*words, "--overwrite"]) == 0
