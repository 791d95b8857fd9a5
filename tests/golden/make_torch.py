"""Tiny TorchScript and AOTInductor models for the tests of the PyTorch backend.

    make_torch.py FOLDER

Each lies in a folder of its own, as a version of a model repository does.
"""

import os
import sys
from pathlib import Path

import torch
from torch import Tensor, nn


class Affine(nn.Module):
    """y = 2x + 1, and the sum of each item."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((4,), 2.0))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x * self.scale + 1, x.sum(1, keepdim=True)


class Difference(nn.Module):
    def forward(self, minuend: Tensor, subtrahend: Tensor) -> Tensor:
        return minuend - subtrahend


class Named(nn.Module):
    def forward(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"difference": tensors["a"] - tensors["b"], "a": tensors["a"]}


class Texts(nn.Module):
    def forward(self, texts: list[str]) -> list[str]:
        return [text + "!" for text in texts]


class Moody(nn.Module):
    """Raises, or asks for far too much memory, as the first value says."""

    def forward(self, x: Tensor) -> Tensor:
        mood = int(x.flatten()[0].item())
        if mood == 1:
            raise ValueError("a bad mood")
        if mood == 2:
            return torch.zeros(1 << 50)
        if mood == 3:
            return x.to(torch.int64)
        return x


class Total(nn.Module):
    """Returns its own buffer, which the next run writes to."""

    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(1, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.total.add_(x)


class WithDefault(nn.Module):
    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        return x if bias is None else x + bias


class OurOperator(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        codes, scale = torch.ops.zeta.quantize_weight(x, "1.58bit", 128)
        return codes.to(torch.float32) * scale


def export_total(folder: Path) -> None:
    program = torch.export.export(Total(), (torch.ones(1, 4),))
    torch._inductor.aoti_compile_and_package(program, package_path=str(folder / "model.pt2"))


def export_package(folder: Path) -> None:
    batch = torch.export.Dim("batch", min=1, max=8)
    program = torch.export.export(
        Difference(),
        (torch.ones(2, 4),),
        kwargs={"subtrahend": torch.ones(2, 4)},
        dynamic_shapes={"minuend": {0: batch}, "subtrahend": {0: batch}},
    )
    torch._inductor.aoti_compile_and_package(program, package_path=str(folder / "model.pt2"))


def main() -> None:
    root = Path(sys.argv[1])
    torch.ops.load_library(os.environ["ZETA_OPS"])
    models = {
        "affine": Affine(),
        "difference": Difference(),
        "named": Named(),
        "texts": Texts(),
        "moody": Moody(),
        "total": Total(),
        "default": WithDefault(),
        "operator": OurOperator(),
    }
    for name, module in models.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        torch.jit.script(module).save(str(root / name / "model.pt"))
    for name, export in {"package": export_package, "package_total": export_total}.items():
        (root / name).mkdir(exist_ok=True)
        if not (root / name / "model.pt2").exists():
            export(root / name)
    (root / "corrupt").mkdir(exist_ok=True)
    (root / "corrupt/model.pt").write_bytes(b"PK\x03\x04 no archive")
    (root / "empty").mkdir(exist_ok=True)


if __name__ == "__main__":
    main()
