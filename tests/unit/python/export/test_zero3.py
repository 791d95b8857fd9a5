"""Gathering ZeRO-3 parts, against DeepSpeed's own converter and against the tensors that were cut."""

import os
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint
from torch import Tensor
from zero3_files import NAME, write_zero3

from zeta.export import ExportError
from zeta.export.zero3 import Zero3Weights

# Sizes that no number of ranks below divides, and a scalar-like one that is smaller than the number of ranks.
SHAPES = [{"a": (7, 5), "b": (3,), "c": (1,)}, {"d": (11, 13)}, {"e": (2, 3), "f": (17,)}]


def random_groups(seed: int = 0) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [{k: torch.randn(v, generator=generator) for k, v in group.items()} for group in SHAPES]


@pytest.mark.parametrize("ranks", [1, 2, 3, 8, 12])
def test_gathers_what_was_cut(tmp_path: Path, ranks: int) -> None:
    groups = random_groups()
    frozen = {"frozen": torch.randn(5, 3, dtype=torch.bfloat16)}
    buffers = {"counter": torch.tensor([3, 4])}
    write_zero3(tmp_path, groups, ranks, frozen, buffers, tied={"head": "a"})
    weights = Zero3Weights(tmp_path)
    expected = (
        {k: v for group in groups for k, v in group.items()} | frozen | buffers | {"head": groups[0]["a"]}
    )
    assert weights.shapes == {name: tensor.shape for name, tensor in expected.items()}
    for name, tensor in expected.items():
        assert torch.equal(weights.load(name), tensor), name


def test_agrees_with_deepspeed(tmp_path: Path) -> None:
    folder = tmp_path / "step-000001"
    folder.mkdir()
    write_zero3(folder, random_groups(), 3, {"frozen": torch.randn(5, 3)}, tied={"head": "a"})
    weights = Zero3Weights(folder)
    expected = get_fp32_state_dict_from_zero_checkpoint(str(tmp_path), tag=folder.name)
    assert weights.shapes.keys() == expected.keys()
    assert all(torch.equal(weights.load(name), tensor) for name, tensor in expected.items())


def test_missing_rank(tmp_path: Path) -> None:
    write_zero3(tmp_path, random_groups(), 3)
    (tmp_path / NAME.format(1, "optim")).unlink()
    with pytest.raises(ExportError, match=r"of 3 ranks, found those of \[0, 2\]"):
        Zero3Weights(tmp_path)


def test_missing_model_file(tmp_path: Path) -> None:
    write_zero3(tmp_path, random_groups(), 3)
    (tmp_path / NAME.format(2, "model")).unlink()
    with pytest.raises(ExportError, match="rank_2_mp_rank_00_model_states.pt: missing"):
        Zero3Weights(tmp_path)


def test_mixed_runs(tmp_path: Path) -> None:
    write_zero3(tmp_path, random_groups(), 3)
    (tmp_path / "other").mkdir()
    write_zero3(tmp_path / "other", random_groups(), 2)
    (tmp_path / "other" / NAME.format(1, "optim")).rename(tmp_path / NAME.format(1, "optim"))
    with pytest.raises(ExportError, match="another run"):
        Zero3Weights(tmp_path)


@pytest.mark.parametrize("kind", ["model", "optim"])
@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_truncated_file(tmp_path: Path, kind: str, keep: float) -> None:
    write_zero3(tmp_path, random_groups(), 2)
    path = tmp_path / NAME.format(1, kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content) if keep < 1 else keep)])
    with pytest.raises(ExportError, match=f"{path.name}: truncated, or no DeepSpeed file"):
        Zero3Weights(tmp_path)


def test_sizes_that_do_not_fit(tmp_path: Path) -> None:
    write_zero3(tmp_path, random_groups(), 2)
    state = torch.load(tmp_path / NAME.format(1, "optim"))
    state["optimizer_state_dict"]["fp32_flat_groups"][1] = torch.zeros(3)
    torch.save(state, tmp_path / NAME.format(1, "optim"))
    with pytest.raises(ExportError, match="rank 1's weights do not have the sizes"):
        Zero3Weights(tmp_path)


def test_tensor_parallel_is_refused(tmp_path: Path) -> None:
    write_zero3(tmp_path, random_groups(), 1)
    (tmp_path / NAME.format(0, "optim")).rename(tmp_path / "zero_pp_rank_0_mp_rank_01_optim_states.pt")
    with pytest.raises(ExportError, match="tensor- and expert-parallel"):
        Zero3Weights(tmp_path)


class Harmful:
    """Unpickled by `torch.load(weights_only=False)`, makes a folder."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, (self.path,))


def test_runs_no_code_of_the_file(tmp_path: Path) -> None:
    write_zero3(tmp_path, random_groups(), 1)
    path = tmp_path / NAME.format(0, "model")
    model = torch.load(path, weights_only=False)
    torch.save(model | {"client": Harmful(str(tmp_path / "harm"))}, path)
    with pytest.raises(ExportError, match="names code that no checkpoint needs; refused"):
        Zero3Weights(tmp_path)
    assert not (tmp_path / "harm").exists()


def test_ignores_objects_of_the_trainer(tmp_path: Path) -> None:
    write_zero3(tmp_path, random_groups(), 1)
    path = tmp_path / NAME.format(0, "model")
    state = {"rng": torch.get_rng_state(), "order": OrderedDict(a=Path("x")), "numpy": torch.ones(2).numpy()}
    torch.save(torch.load(path, weights_only=False) | {"client": state}, path)
    assert torch.equal(Zero3Weights(tmp_path).load("a"), random_groups()[0]["a"])
