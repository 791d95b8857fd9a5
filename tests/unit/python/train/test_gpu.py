"""A run of zeta.train on a GPU, its export, and whether both say the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_run import arguments, records

PROGRAM = "import sys; from zeta.train import main; sys.exit(main())"
PRECISIONS = ["1.58bit", "4bit"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that CUDA can use")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_trains_in_bf16_and_exports_what_it_trained(
    precision: str, config: Path, shards: Path, tmp_path: Path
) -> None:
    """Tolerances are those of tests/unit/python/export/test_transformers.py, which says where they come from."""
    from exported_logits import compare

    shape = {"hidden_size": 128, "num_heads": 4, "num_kv_heads": 2, "intermediate_size": 256}
    argv = arguments(
        config, shards, tmp_path / "run", "--steps", "40", "--eval-tokens", "0",
        use_flash_attn="true", dtype="auto", bitlinear_precision=precision, **shape,
    )  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k != "DS_ACCELERATOR"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *argv], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "dtype bf16" in done.stderr
    first, last = records(tmp_path / "run")[0], records(tmp_path / "run")[-1]
    assert last["loss"] < 0.9 * first["loss"]

    found = compare(tmp_path / "run", shards, tmp_path / "out", examples=10**6, seq_len=32)
    limit = {"1.58bit": 4e-2, "4bit": 2e-2}[precision]
    assert found["relative difference"] <= limit
    # A loss moves by at most √2 times the difference of the logits in root mean square.
    margin = 2**0.5 * limit * found["root mean square"]
    assert found["loss of training's forward"] == pytest.approx(last["validation_loss"], abs=margin)
    assert found["loss of the exported folder"] == pytest.approx(last["validation_loss"], abs=margin)
