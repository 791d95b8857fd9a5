"""The model of a run: a transformers Llama with Zeta's attention and linear layers, born partitioned."""

import json
import math
from pathlib import Path
from typing import Any

import deepspeed
import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.activations import ACT2FN
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from zeta.train.errors import TrainError
from zeta.train.nearest import nearest
from zeta.train.params import ZetaParams
from zeta.train.precision import TORCH_DTYPE
from zeta.train.presets import PRESETS
from zeta.train.ranks import Ranks

_INITIAL_STD = 0.02
_MAX_HEAD_DIM = 256
_OVERRIDES = {
    "hidden_size": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "num_kv_heads": "num_key_value_heads",
    "intermediate_size": "intermediate_size",
    "tie_embeddings": "tie_word_embeddings",
}
_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
)
_OLD_KEYS = ("torch_dtype", "rope_theta", "rope_scaling")  # Still read by transformers, no longer written.


def model_config(model: str, params: ZetaParams, vocab_size: int, eos_token_id: int | None) -> LlamaConfig:
    """The Llama configuration that `--model`, `--zeta_params` and the data's tokenizer describe.

    A named model has room for exactly one training example; a `config.json` keeps its own limit.

    Raises:
        TrainError: no such model, a key or a value that is no Llama's, or a shape that does not fit together.
    """
    values = _preset(model, params) if model in PRESETS else _read_llama_config(Path(model), vocab_size)
    values |= {"bos_token_id": None, "eos_token_id": eos_token_id, "pad_token_id": None}
    values.setdefault("vocab_size", vocab_size)
    for key, name in _OVERRIDES.items():
        if getattr(params, key) is not None:
            values[name] = getattr(params, key)
    _check_heads(values)
    config = LlamaConfig(**values)
    _check_groups(config, params)
    _check_biases(config, params)
    limit = config.max_position_embeddings
    if (params.seq_len or 0) > limit:
        raise TrainError(
            f"expected seq_len ≤ {limit}, max_position_embeddings of {model}, got {params.seq_len}"
        )
    return config


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


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two optimizer groups: matrices decay; norms, biases and embeddings do not."""
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    decay: list[nn.Parameter] = []
    keep: list[nn.Parameter] = []
    for parameter in model.parameters():
        matrix = len(_shape(parameter)) >= 2 and id(parameter) not in embeddings
        (decay if matrix else keep).append(parameter)
    groups = [{"params": decay, "weight_decay": weight_decay}, {"params": keep, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def count_parameters(model: nn.Module) -> int:
    """The number of weights of the whole model, whatever this rank holds of it."""
    return sum(math.prod(_shape(parameter)) for parameter in model.parameters())


def _shape(parameter: nn.Parameter) -> torch.Size:
    return getattr(parameter, "ds_shape", parameter.shape)


def _initialize(model: nn.Module, num_layers: int, seed: int, ranks: Ranks) -> None:
    """Draws matrices from N(0, 0.02²), those that write to the residual stream scaled by 1/√(2·layers).

    transformers' own initialisation sees only empty, partitioned weights here. Rank 0 draws and DeepSpeed
    spreads, so that a seed means the same weights on any number of ranks.
    """
    generator = torch.Generator(device=ranks.device).manual_seed(seed)
    for name, parameter in model.named_parameters():
        if len(_shape(parameter)) < 2:
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


def _preset(name: str, params: ZetaParams) -> dict[str, Any]:
    shape = vars(PRESETS[name])
    values = {llama_name: shape[key] for key, llama_name in _OVERRIDES.items()}
    return values | {"max_position_embeddings": params.seq_len or shape["seq_len"]}


def _read_llama_config(path: Path, vocab_size: int) -> dict[str, Any]:
    if not path.is_file():
        raise TrainError(f"--model {path}: neither a file nor one of {', '.join(PRESETS)}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        model_type = values["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainError(f"--model {path}: not a transformers config.json: {error}") from error
    if model_type != "llama":
        raise TrainError(f"--model {path}: expected model_type llama, got {model_type}")
    known = {*LlamaConfig().to_dict(), *_OLD_KEYS}
    for key in values:
        if key not in known:
            raise TrainError(f"--model {path}: a Llama's config.json has no key {key!r}{nearest(key, known)}")
    config = _llama_config(path, values)
    if config.vocab_size < vocab_size and "vocab_size" in values:
        raise TrainError(
            f"--model {path}: its vocab_size {values['vocab_size']} is below the data's {vocab_size}"
        )
    own = {key: values.get(key) for key in ("head_dim", "num_key_value_heads")}  # None follows the shape.
    own |= {"vocab_size": values.get("vocab_size", vocab_size)}
    return config.to_dict() | own


def _llama_config(path: Path, values: dict[str, Any]) -> LlamaConfig:
    """transformers' reading of `values`, which checks their types."""
    for key in _SIZES:
        if isinstance(values.get(key), int) and values[key] < 1:
            raise TrainError(f"--model {path}: {key} must be at least 1, got {values[key]}")
    try:
        config = LlamaConfig(**values)
    except (StrictDataclassError, KeyError, TypeError, ValueError) as error:
        raise TrainError(f"--model {path}: {' '.join(str(error).split())}") from error
    if config.hidden_act not in ACT2FN:
        hint = nearest(config.hidden_act, ACT2FN)
        raise TrainError(f"--model {path}: there is no hidden_act {config.hidden_act!r}{hint}")
    return config


def _check_heads(values: dict[str, Any]) -> None:
    hidden, heads = values["hidden_size"], values["num_attention_heads"]
    kv_heads = values.get("num_key_value_heads") or heads
    if not values.get("head_dim") and hidden % heads:
        raise TrainError(f"num_heads must divide hidden_size, got {heads} and {hidden}")
    if heads % kv_heads:
        raise TrainError(f"num_kv_heads must divide num_heads, got {kv_heads} and {heads}")
    head_dim = values.get("head_dim") or hidden // heads
    if head_dim % 2 or head_dim > _MAX_HEAD_DIM:
        raise TrainError(
            f"expected an even head size ≤ {_MAX_HEAD_DIM}, got hidden_size / num_heads = {head_dim}"
        )


def _check_groups(config: LlamaConfig, params: ZetaParams) -> None:
    """Linear layers must fill the groups and bytes that their packed form will have."""
    multiple = {"none": 1, "1.58bit": 4, "4bit": params.group_size}[params.bitlinear_precision]
    if params.bitlinear_precision == "4bit" and params.group_size % 8:
        raise TrainError(f"group_size must be a multiple of 8, got {params.group_size}")
    sizes = {
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_heads times head size": config.num_attention_heads * (config.head_dim or 0),
    }
    for name, size in sizes.items():
        if size % multiple:
            precision = f"bitlinear_precision={params.bitlinear_precision}"
            fix = ": change it or group_size" if params.bitlinear_precision == "4bit" else ""
            raise TrainError(f"{precision} needs {name} divisible by {multiple}, got {size}{fix}")


def _check_biases(config: LlamaConfig, params: ZetaParams) -> None:
    """Readers of ternary weights multiply a bias by the weights' scale, so an export would refuse it."""
    for key in ("attention_bias", "mlp_bias"):
        if getattr(config, key) and params.bitlinear_precision == "1.58bit":
            raise TrainError(f"bitlinear_precision=1.58bit allows no biases: set {key} to false in --model")
