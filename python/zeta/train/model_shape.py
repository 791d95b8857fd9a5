"""Whether the sizes of a Llama fit each other, the attention and the packed form of its linear layers."""

from typing import Any

from transformers import LlamaConfig

from zeta.train.errors import TrainError
from zeta.train.params import ZetaParams

_MAX_HEAD_DIM = 256


def check_heads(values: dict[str, Any]) -> None:
    """Checks the head sizes that a `config.json` with `values` means.

    Raises:
        TrainError: the heads do not divide what they share, or their size is none that attention takes.
    """
    hidden, heads = values["hidden_size"], values["num_attention_heads"]
    kv_heads = values.get("num_key_value_heads") or heads
    if values.get("head_dim") is None and hidden % heads:
        raise TrainError(f"num_heads must divide hidden_size, got {heads} and {hidden}")
    if heads % kv_heads:
        raise TrainError(f"num_kv_heads must divide num_heads, got {kv_heads} and {heads}")
    head_dim, name = values.get("head_dim"), "head_dim"
    if head_dim is None:
        head_dim, name = hidden // heads, "hidden_size / num_heads"
    if head_dim % 2 or not 0 < head_dim <= _MAX_HEAD_DIM:
        raise TrainError(f"expected an even head size ≤ {_MAX_HEAD_DIM}, got {name} = {head_dim}")


def check_packing(config: LlamaConfig, params: ZetaParams) -> None:
    """Checks that an export can pack the linear layers in `bitlinear_precision`.

    Raises:
        TrainError: a size does not fill the groups or bytes of the packed form, or that form allows no biases.
    """
    precision = params.bitlinear_precision
    grouped = precision in ("4bit", "w4a8")
    if grouped and params.group_size % 8:
        raise TrainError(f"group_size must be a multiple of 8, got {params.group_size}")
    multiple = params.group_size if grouped else {"none": 1, "fp8": 1}.get(precision, 4)
    sizes = {
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_heads times head size": config.num_attention_heads * (config.head_dim or 0),
    }
    for name, size in sizes.items():
        if size % multiple:
            fix = ": change it or group_size" if grouped else ""
            raise TrainError(
                f"bitlinear_precision={precision} needs {name} divisible by {multiple}, got {size}{fix}"
            )
    for key in ("attention_bias", "mlp_bias"):
        # Readers of ternary weights multiply a bias by the weights' scale.
        if getattr(config, key) and precision in ("1bit", "1.58bit"):
            raise TrainError(
                f"bitlinear_precision={precision} allows no biases: set {key} to false in --model"
            )
