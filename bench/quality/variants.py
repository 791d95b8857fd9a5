"""What is compared: runs that differ in their linear layers, and what is made of the bf16 run afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from recipe import Recipe, Run, validation_loss
from torch import nn

from zeta.quant import quantize

LATE_SHARE = 0.3
_CALIBRATION_BATCHES = 4
_PRECISIONS = ("4bit", "1.58bit", "fp8")


def measure(
    recipe: Recipe, kind: str, seed: int, folder: Path, vocab_size: int, device: str, derive: bool
) -> Iterator[dict[str, Any]]:
    """Trains a model of `kind` and gives its line; with `derive`, then those that begin from its weights."""
    run = Run(recipe, kind, seed, folder, vocab_size, device)
    run.advance(round((1 - LATE_SHARE) * recipe.steps))
    early = run.state() if derive else None
    run.advance(recipe.steps)
    yield _line(run, kind, validation_loss(run))
    if early is None:
        return
    for method in ("rtn", "gptq"):
        yield _line(run, f"4bit, {method} afterwards", _quantized_loss(run, vocab_size, method))
    for precision in _PRECISIONS:
        late = Run(recipe, precision, seed, folder, vocab_size, device)
        late.restore(early)
        late.advance(recipe.steps)
        yield _line(late, f"{precision}, last {LATE_SHARE:.0%}", validation_loss(late))


def _quantized_loss(run: Run, vocab_size: int, method: str) -> float:
    """Of the trained weights quantised to 4 bits, calibrated on text that the run trained on."""
    recipe = run.recipe
    plain = Run(
        Recipe(**(vars(recipe) | {"compiled": False})), "bf16", run.seed, run.folder, vocab_size, run.device
    )
    plain.model.load_state_dict(run.model.state_dict())
    blocks = run.text[: _CALIBRATION_BATCHES * recipe.batch * recipe.seq_len].long()
    batches = blocks.view(_CALIBRATION_BATCHES, recipe.batch, recipe.seq_len)
    quantize(_Decoder(plain.model), "4bit", method, batches, progress=False)
    with torch.no_grad():
        return validation_loss(plain, plain.model)


class _Decoder(nn.Module):
    """The decoder under autocast, as it was trained: what calibration runs."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.decoder = model.model

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        with torch.autocast(ids.device.type, torch.bfloat16):
            return self.decoder(ids, use_cache=False).last_hidden_state


def _line(run: Run, variant: str, loss: float) -> dict[str, Any]:
    recipe = run.recipe
    return {
        "variant": variant, "seed": run.seed, "validation_loss": loss, "seconds": round(run.seconds, 2),
        "tokens": recipe.steps * recipe.batch * recipe.seq_len, "epochs": round(run.epochs, 2),
        "steps": recipe.steps, "parameters": sum(p.numel() for p in run.model.parameters()),
    }  # fmt: skip
