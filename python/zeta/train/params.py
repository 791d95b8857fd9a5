"""`--zeta_params`: what Zeta adds to a DeepSpeed run, as one `key=value, key=value` list."""

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal

from zeta.train.errors import TrainError
from zeta.train.nearest import nearest

Precision = Literal["none", "1bit", "1.58bit", "2bit", "4bit", "w4a8", "8bit", "fp8"]
DtypeChoice = Literal["auto", "fp32", "bf16"]

_TRUE = {"true", "1", "yes", "on"}
_FALSE = {"false", "0", "no", "off"}


def _param(default: Any, text: str, minimum: int | None = None) -> Any:
    return field(default=default, metadata={"help": text, "minimum": minimum})


@dataclass(frozen=True)
class ZetaParams:
    """The keys of `--zeta_params`. A key that is None keeps the value of `--model`."""

    use_flash_attn: bool = _param(True, "Zeta's FlashAttention instead of PyTorch's attention")
    bitlinear_precision: Precision = _param("none", "quantisation-aware weights of the linear layers")
    group_size: int = _param(128, "input features that share one scale of 4-bit weights", 8)
    dtype: DtypeChoice = _param("auto", "arithmetic; auto is bf16 where the processor is quick at it")
    hidden_size: int | None = _param(None, "width of the residual stream", 1)
    num_layers: int | None = _param(None, "decoder layers", 1)
    num_heads: int | None = _param(None, "attention heads", 1)
    num_kv_heads: int | None = _param(None, "key and value heads; must divide num_heads", 1)
    intermediate_size: int | None = _param(None, "width of the feed-forward layer", 1)
    tie_embeddings: bool | None = _param(None, "share the input embedding with the output layer")
    seq_len: int | None = _param(None, "tokens in one training example", 2)


def parse_zeta_params(text: str) -> ZetaParams:
    """Parses a comma-separated list such as `"use_flash_attn=true, bitlinear_precision=4bit"`.

    Raises:
        TrainError: a key that does not exist (names the nearest one), is given twice, or has a value that is
            not allowed (names the value and what is).
    """
    fields = {f.name: f for f in dataclasses.fields(ZetaParams)}
    types = typing.get_type_hints(ZetaParams)
    values: dict[str, Any] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise TrainError(f"--zeta_params: expected key=value, got {item!r}")
        if key not in fields:
            hint = nearest(key, fields) or f"; the keys are {', '.join(sorted(fields))}"
            raise TrainError(f"--zeta_params: unknown key {key!r}{hint}")
        if key in values:
            raise TrainError(f"--zeta_params: {key} is given twice")
        values[key] = _convert(key, value, types[key], fields[key].metadata["minimum"])
    return ZetaParams(**values)


def zeta_params_table() -> str:
    """The table of keys that `--help` prints."""
    hints = typing.get_type_hints(ZetaParams)
    rows = [("key", "values", "default", "meaning")]
    for f in dataclasses.fields(ZetaParams):
        default = "of --model" if f.default is None else str(f.default).lower()
        rows.append((f.name, _allowed(hints[f.name], f.metadata["minimum"]), default, f.metadata["help"]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join("  " + line.rstrip() for line in lines)


def _plain(hint: Any) -> Any:
    """`int | None` → `int`."""
    if isinstance(hint, types.UnionType):
        return next(t for t in typing.get_args(hint) if t is not type(None))
    return hint


def _allowed(hint: Any, minimum: int | None) -> str:
    hint = _plain(hint)
    if hint is bool:
        return "true|false"
    if hint is int:
        return f"integer ≥ {minimum}"
    return "|".join(typing.get_args(hint))


def _convert(key: str, value: str, hint: Any, minimum: int | None) -> Any:
    plain = _plain(hint)
    lowered = value.lower()
    if plain is bool and lowered in _TRUE | _FALSE:
        return lowered in _TRUE
    if plain is int and value.isdecimal() and int(value) >= (minimum or 0):
        return int(value)
    if lowered in typing.get_args(plain):
        return lowered
    raise TrainError(f"--zeta_params: {key} must be {_allowed(hint, minimum)}, got {value!r}")
