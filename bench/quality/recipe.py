"""One training run: the same small Llama, text and schedule, whatever its linear layers are."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from model import build_model, make_linear
from torch import Tensor, nn
from torch.nn import functional

_REPORT_EVERY = 250


@dataclass(frozen=True)
class Recipe:
    """What all runs share. The learning rate rises over 5 % of the steps, then falls in a line to 0."""

    hidden_size: int = 512
    num_layers: int = 6
    seq_len: int = 512
    batch: int = 32
    steps: int = 1200
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    max_norm: float = 1.0
    compiled: bool = False

    def lr_at(self, step: int) -> float:
        warm_up = max(self.steps // 20, 1)
        return self.learning_rate * min((step + 1) / warm_up, (self.steps - step) / (self.steps - warm_up))


class Run:
    """A model in training; `seed` fixes its first weights and the order of the text."""

    def __init__(
        self, recipe: Recipe, kind: str, seed: int, folder: Path, vocab_size: int, device: str
    ) -> None:
        self.recipe, self.kind, self.seed, self.device, self.folder = recipe, kind, seed, device, folder
        model = build_model(recipe.hidden_size, recipe.num_layers, recipe.seq_len, vocab_size, seed)
        make_linear(model, kind)
        self.model = model.to(device)
        if recipe.compiled:
            for layer in self.model.model.layers:
                layer.compile(fullgraph=True)
        self.optimizer = _optimizer(recipe, self.model, device)
        self.text = tokens_of(folder, "train", device)
        self.seconds, self.step = 0.0, 0
        count = (len(self.text) - 1) // recipe.seq_len
        self.epochs = recipe.steps * recipe.batch / count
        order = torch.Generator().manual_seed(seed)
        blocks = torch.cat([torch.randperm(count, generator=order) for _ in range(math.ceil(self.epochs))])
        self._blocks = blocks[: recipe.steps * recipe.batch].view(recipe.steps, recipe.batch).to(device)

    def advance(self, end: int) -> None:
        """Trains up to step `end`."""
        begin = time.monotonic()
        for step in range(self.step, end):
            loss = loss_of(self.model, self.text, self._blocks[step], self.recipe.seq_len)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.max_norm)
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.lr_at(step)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            if (step + 1) % _REPORT_EVERY == 0:
                print(f"{self.kind}, seed {self.seed}: step {step + 1}, loss {loss.item():.3f}", flush=True)
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.step = end
        self.seconds += time.monotonic() - begin

    def state(self) -> dict[str, Any]:
        """A copy of all that the run goes on from; another kind's run may go on from it too."""
        return copy.deepcopy(
            {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step}
        )

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))  # it keeps the tensors it is given
        self.step = state["step"]


def tokens_of(folder: Path, split: str, device: str) -> Tensor:
    """int32 `(tokens)`."""
    return torch.from_numpy(numpy.fromfile(folder / f"{split}.bin", "<u2").astype(numpy.int32)).to(device)


def loss_of(model: nn.Module, text: Tensor, blocks: Tensor, seq_len: int) -> Tensor:
    """Mean cross entropy, nats a token, of the blocks of `seq_len` tokens with these numbers."""
    offsets = torch.arange(seq_len + 1, device=text.device)
    tokens = text[(blocks * seq_len)[:, None] + offsets].long()
    with torch.autocast(text.device.type, torch.bfloat16):
        hidden = model.model(tokens[:, :-1], use_cache=False).last_hidden_state
        logits = model.lm_head(hidden)
    return functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())


def validation_loss(run: Run, model: nn.Module | None = None) -> float:
    """Over all of validation but what is left of the last batch; of `model`, or the run's own."""
    recipe, text = run.recipe, tokens_of(run.folder, "validation", run.device)
    count = (len(text) - 1) // recipe.seq_len // recipe.batch * recipe.batch
    total = torch.zeros((), dtype=torch.float64, device=run.device)
    for blocks in torch.arange(count, device=run.device).split(recipe.batch):
        # With gradients on: the graph that is compiled already.
        total += loss_of(model or run.model, text, blocks, recipe.seq_len).detach()
    return (total / (count // recipe.batch)).item()


def _optimizer(recipe: Recipe, model: nn.Module, device: str) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, fused=device == "cuda")
