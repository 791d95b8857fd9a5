"""The model of a run: a transformers Llama with Zeta's attention and linear layers, born partitioned."""

import math
from typing import Any

import deepspeed
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from zeta.train.params import ZetaParams
from zeta.train.precision import TORCH_DTYPE
from zeta.train.ranks import Ranks
from zeta.train.weights import full_shape

_INITIAL_STD = 0.02


def build_model(
    config: LlamaConfig, params: ZetaParams, dtype: str, ds_config: dict[str, Any], seed: int, ranks: Ranks
) -> LlamaForCausalLM:
    """Makes the model under `deepspeed.zero.Init`, each rank holding its part; `seed` draws its weights."""
    if params.use_flash_attn:
        import zeta.nn  # noqa: F401  Registers the attention that the next line names.
    config._attn_implementation = "zeta" if params.use_flash_attn else "sdpa"
    config.use_cache = False
    with deepspeed.zero.Init(config_dict_or_path=ds_config, dtype=TORCH_DTYPE[dtype]):
        model = LlamaForCausalLM(config)
        if params.bitlinear_precision != "none":
            from zeta.quant import replace_linear

            replace_linear(model, precision=params.bitlinear_precision, group_size=params.group_size)
    _restore_buffers(model, ranks.device)
    _initialize(model, config.num_hidden_layers, seed, ranks)
    return model


def _initialize(model: nn.Module, num_layers: int, seed: int, ranks: Ranks) -> None:
    """Draws matrices from N(0, 0.02²), those that write to the residual stream scaled by 1/√(2·layers).

    transformers' own initialisation sees only empty, partitioned weights here. Rank 0 draws and DeepSpeed
    spreads, so that a seed means the same weights on any number of ranks.
    """
    generator = torch.Generator(device=ranks.device).manual_seed(seed)
    for name, parameter in model.named_parameters():
        if len(full_shape(parameter)) < 2:
            continue
        residual = name.endswith(("o_proj.weight", "down_proj.weight"))
        std = _INITIAL_STD / math.sqrt(2 * num_layers) if residual else _INITIAL_STD
        with deepspeed.zero.GatheredParameters([parameter], modifier_rank=0):
            if ranks.is_main:
                nn.init.normal_(parameter, std=std, generator=generator)


def _restore_buffers(model: LlamaForCausalLM, device: torch.device) -> None:
    """Makes the rotary frequencies again in fp32, as whoever reads the exported model does.

    `zero.Init` turns every tensor that is made under it into the run's dtype, and bf16 shifts positions.
    """
    rotary = model.model.rotary_emb
    for name, buffer in LlamaRotaryEmbedding(model.config).named_buffers():
        setattr(rotary, name, buffer.to(device))
