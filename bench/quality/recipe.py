"""One training run: the same small Llama, text and schedule, whatever its linear layers are."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy
import plain_b158
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM

import zeta.nn  # noqa: F401  Registers the attention that the model names.
from zeta.quant import replace_linear

_HEAD_DIM = 64
_STD = 0.02
_REPORT_EVERY = 250


@dataclass(frozen=True)
class Recipe:
    """What all runs share. The learning rate rises over 5 % of the steps, then falls in a line to 0."""

    hidden_size: int = 512
    num_layers: int = 6
    seq_len: int = 512
    batch: int = 32
    steps: int = 1000
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    max_norm: float = 1.0
    compiled: bool = False

    @property
    def tokens(self) -> int:
        return self.steps * self.batch * self.seq_len

    def lr_at(self, step: int) -> float:
        warm_up = max(self.steps // 20, 1)
        return self.learning_rate * min((step + 1) / warm_up, (self.steps - step) / (self.steps - warm_up))


def train(recipe: Recipe, variant: str, seed: int, folder: Path, vocab_size: int, device: str) -> dict:
    """Trains one model and gives its validation loss (nats a token, over all of validation) and facts."""
    text = _tokens(folder / "train.bin", device)
    model = _model(recipe, variant, seed, vocab_size, device)
    optimizer = _optimizer(recipe, model, device)
    order = torch.Generator().manual_seed(seed)
    count = (len(text) - 1) // recipe.seq_len
    epochs = math.ceil(recipe.steps * recipe.batch / count)
    blocks = torch.cat([torch.randperm(count, generator=order) for _ in range(epochs)])
    blocks = blocks[: recipe.steps * recipe.batch].view(recipe.steps, recipe.batch).to(device)
    start = time.monotonic()
    for step in range(recipe.steps):
        loss = _loss(recipe, model, text, blocks[step])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.max_norm)
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr_at(step)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if (step + 1) % _REPORT_EVERY == 0:
            print(
                f"{variant}, seed {seed}: step {step + 1} of {recipe.steps}, loss {loss.item():.3f}",
                flush=True,
            )
    train_loss = loss.item()
    seconds = time.monotonic() - start
    return {
        "variant": variant, "seed": seed, "validation_loss": _validate(recipe, model, folder, device),
        "last_train_loss": train_loss, "seconds": round(seconds, 2), "tokens": recipe.tokens,
        "epochs": round(recipe.steps * recipe.batch / count, 2), "steps": recipe.steps,
        "parameters": sum(p.numel() for p in model.parameters()),
    }  # fmt: skip


def _model(recipe: Recipe, variant: str, seed: int, vocab_size: int, device: str) -> LlamaForCausalLM:
    heads = recipe.hidden_size // _HEAD_DIM
    config = LlamaConfig(
        vocab_size=vocab_size, hidden_size=recipe.hidden_size, num_hidden_layers=recipe.num_layers,
        num_attention_heads=heads, num_key_value_heads=max(heads // 2, 1),
        intermediate_size=recipe.hidden_size * 11 // 4, max_position_embeddings=recipe.seq_len,
        tie_word_embeddings=True, initializer_range=_STD, attn_implementation="zeta", use_cache=False,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)  # on the CPU: the same weights in every variant, on every machine
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.div_(math.sqrt(2 * recipe.num_layers))
    if variant == "plain b1.58":
        plain_b158.replace_linear(model)
    elif variant != "bf16":
        replace_linear(model, variant)
    model.to(device)
    if recipe.compiled:
        for layer in model.model.layers:
            layer.compile(fullgraph=True)
    return model


def _optimizer(recipe: Recipe, model: nn.Module, device: str) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=recipe.betas, fused=device == "cuda")


def _tokens(path: Path, device: str) -> Tensor:
    return torch.from_numpy(numpy.fromfile(path, "<u2").astype(numpy.int32)).to(device)


def _loss(recipe: Recipe, model: LlamaForCausalLM, text: Tensor, blocks: Tensor) -> Tensor:
    offsets = torch.arange(recipe.seq_len + 1, device=text.device)
    tokens = text[(blocks * recipe.seq_len)[:, None] + offsets].long()
    with torch.autocast(text.device.type, torch.bfloat16):
        hidden = model.model(tokens[:, :-1], use_cache=False).last_hidden_state
        logits = model.lm_head(hidden)
    return functional.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())


def _validate(recipe: Recipe, model: LlamaForCausalLM, folder: Path, device: str) -> float:
    text = _tokens(folder / "validation.bin", device)
    count = (len(text) - 1) // recipe.seq_len // recipe.batch * recipe.batch
    total = torch.zeros((), dtype=torch.float64, device=device)
    for blocks in torch.arange(count, device=device).split(recipe.batch):
        total += _loss(recipe, model, text, blocks).detach()  # with gradients on: the graph that is compiled
    return (total / (count // recipe.batch)).item()
