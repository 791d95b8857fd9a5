"""The linear ops at every instruction set that this CPU has: integers agree to the bit, and the rest with the formula.

ZETA_CPU_ISA is read once a process, so each runs in one of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from quant_formulas import normal
from test_packed_linear import check_result, make

from zeta.quant import BitLinear

SETS = ("scalar", "avx2", "avx512", "avx512vnni", "avx512bf16", "amx")
ROWS = (1, 3, 21)  # a vector, a few, a tile with a rest

PROGRAM = """
import sys, torch
from test_instruction_sets import results
torch.save(results(), sys.argv[1])
"""


def x_of(rows: int, dtype: torch.dtype) -> torch.Tensor:
    return normal(rows, 264, seed=8, dtype=dtype)


def results() -> dict[str, torch.Tensor]:
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        for rows in ROWS:
            x = x_of(rows, dtype)
            for format in ("ternary", "int4", "w4a8"):
                packed, scale, _ = make(format, 76, 264)
                y = torch.ops.zeta.packed_linear(x, packed, scale, None, format, 76)
                found[f"{format} {dtype} {rows}"] = y
                if format == "ternary":
                    for other, codes in (
                        ("int2", packed),
                        ("int8", torch.cat([packed, ~packed, packed, packed])),
                    ):
                        rows_scale = torch.linspace(0.5, 2, 76)
                        found[f"{other} {dtype} {rows}"] = torch.ops.zeta.packed_linear(
                            x, codes, rows_scale, None, other, 76
                        )
            for precision in ("1bit", "1.58bit", "2bit", "4bit", "w4a8", "8bit"):
                torch.manual_seed(0)
                layer = BitLinear(264, 76, precision=precision, group_size=24, dtype=dtype)
                used = x.clone().requires_grad_()
                y = layer(used)
                y.backward(torch.ones_like(y))
                for name, tensor in (("y", y.detach()), ("x", used.grad), ("w", layer.weight.grad)):
                    found[f"{precision} {dtype} {rows} {name}"] = tensor
    return found


@pytest.fixture(scope="module")
def best() -> dict[str, torch.Tensor]:
    return results()


@pytest.mark.parametrize("name", SETS)
def test_every_set_agrees(name: str, tmp_path: Path, best: dict[str, torch.Tensor]) -> None:
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    environment = os.environ | {"ZETA_CPU_ISA": name, "PYTHONPATH": path}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "y")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    if "this CPU has no" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    found = torch.load(tmp_path / "y")
    assert found.keys() == best.keys()
    for key, y in found.items():
        kind, *_, last = key.split()
        if kind in ("ternary", "int2", "int8") or (kind.endswith("bit") and kind != "4bit" and last == "y"):
            assert torch.equal(y, best[key]), key  # sums of integers do not depend on their order
        elif kind == "int4":
            format, dtype, rows = key.split()
            x = x_of(int(rows), getattr(torch, dtype.removeprefix("torch.")))
            check_result(y, format, x, make(format, 76, 264)[2], None)
        else:
            # Products of at most 264 terms in another order: 264 roundings of fp32, and one of the dtype.
            u = 2.0**-8 if y.dtype == torch.bfloat16 else 264 * 2.0**-23
            assert (y - best[key]).abs().max() <= u * best[key].abs().max(), key
