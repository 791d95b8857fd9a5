"""From a checkpoint to a GGUF file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from zeta.export.digest import digest
from zeta.export.dtypes import parse_dtype
from zeta.export.errors import ExportError
from zeta.export.gguf.file import MAGIC, GgufFile, GgufWriter
from zeta.export.gguf.header import complete, header
from zeta.export.gguf.llama import from_neighbours, gguf_name, heads_of, rope_factors, to_neighbours
from zeta.export.gguf.types import PLAIN
from zeta.export.gguf.vocabulary import vocabulary
from zeta.export.report import EMBEDDINGS, LINEAR, ExportReport, kind_of
from zeta.export.single_file import new_file
from zeta.export.skeleton import check_weights, read_skeleton
from zeta.export.source import NONE, Source, open_source
from zeta.export.target import Target, choose_target, note_on_rounding
from zeta.export.tokenizer import check_tokenizer
from zeta.quant.gguf import BLOCK_TYPES, block_type, check_columns, pack_gguf, quantize_q8_0, unpack_gguf
from zeta.quant.precision import BINARY, INT2, INT4, INT8, TERNARY, W4A8
from zeta.quant.weight import quantize_weight

_TRITS = ("TQ2_0", "TQ1_0", "Q4_0", "Q8_0")
_CAN = {
    BINARY: _TRITS,
    TERNARY: _TRITS,
    INT2: ("Q4_0", "Q8_0"),
    INT4: ("Q4_0", "Q8_0"),
    W4A8: ("Q4_0", "Q8_0"),
    INT8: ("Q8_0",),
}  # the best first
_NAMES = {dtype: name for name, dtype in PLAIN.items()}
_FACTORS = "rope_freqs.weight"


def export_gguf(
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    precision: str | None = None,
    *,
    type: str | None = None,
    embedding_type: str | None = None,
    group_size: int | None = None,
    dtype: str | None = None,
    overwrite: bool = False,
) -> ExportReport:
    """Write a checkpoint as one GGUF file with the codes that its training saw, for llama.cpp.

    Scales are rounded to float16. What is written is read back and compared before `out` appears, in one step.

    Args:
        checkpoint, precision, group_size, dtype, overwrite: as for `zeta.export.export`; `"fp8"` has no type.
        out: the file to make.
        type: of linear layers. Left out, TQ2_0 for `"1bit"` and `"1.58bit"` (TQ1_0, Q4_0, Q8_0 hold them too),
            Q4_0 for `"2bit"`, `"4bit"` and `"w4a8"` (Q8_0 too), Q8_0 for `"8bit"`, and for `"none"` `dtype`'s (Q8_0
            rounds to 8 bits).
        embedding_type: of the embedding and the output layer: Q8_0, or left out `dtype`'s.
    Returns:
        sizes before and after, and what was checked.
    Raises:
        ExportError: as `zeta.export.export`; or the architecture, the tokenizer or a layer does not fit.
    """
    checkpoint, out = Path(checkpoint), Path(os.path.abspath(out))
    source = open_source(checkpoint)
    wanted = parse_dtype(dtype, "the wish") if dtype is not None else None
    target = choose_target(source, precision, group_size, wanted)
    skeleton = read_skeleton(source.folder)
    check_weights(source.folder, skeleton, source.weights.shapes)
    check_tokenizer(source.tokenizer, skeleton.vocab_size)
    config = complete(source.config, source.folder / "config.json")

    plain = _NAMES[target.dtype]
    types = {LINEAR: type or _CAN.get(target.precision, (plain,))[0], EMBEDDINGS: embedding_type or plain}
    _check_types(types, target, plain)
    writer = _Writer(source, target)
    layout: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, shape in skeleton.shapes.items():
        kind = types.get(kind_of(name, skeleton), "F32") if len(shape) == 2 else "F32"
        layout[writer.place(name, kind)] = kind, tuple(shape)
        if kind in BLOCK_TYPES:
            _check_layer(name, shape[1], kind, target if kind_of(name, skeleton) == LINEAR else None)
    values = header(config, out.stem, types[LINEAR]) | vocabulary(source.tokenizer, config)
    rope = config["rope_parameters"]
    factors = rope_factors(rope, config["head_dim"]) if rope["rope_type"] == "llama3" else None
    if factors is not None:
        layout = {_FACTORS: ("F32", tuple(factors.shape)), **layout}

    report = ExportReport(out, target.precision, notes=note_on_rounding(source, target))
    try:
        with new_file(out, overwrite, MAGIC) as path:
            with path.open("wb") as file:
                gguf = GgufWriter(file, values, layout)
                if factors is not None:
                    gguf.add(_FACTORS, factors)
                for name, shape in tqdm(skeleton.shapes.items(), desc="packing", unit="tensor", disable=None):
                    size = report.sizes[kind_of(name, skeleton)]
                    size.fp32 += 4 * shape.numel()
                    stored = writer.tensor(name, packed=kind_of(name, skeleton) == LINEAR)
                    size.packed += stored.nbytes
                    gguf.add(writer.places[name][0], stored)
            writer.verify(GgufFile(path), report)
    except OSError as error:
        raise ExportError(f"{out}: {error.strerror or error}; nothing was exported") from error
    return report


def _check_types(types: dict[str, str], target: Target, plain: str) -> None:
    can = _CAN.get(target.precision, (plain, "Q8_0") if target.precision == NONE else ())
    if types[LINEAR] not in can:
        known = ", ".join(can) or "none of GGUF's"
        raise ExportError(
            f"expected the type of {target.precision} layers to be {known}, got {types[LINEAR]!r}"
        )
    if types[EMBEDDINGS] not in (plain, "Q8_0"):
        raise ExportError(f"expected embedding_type to be {plain} or Q8_0, got {types[EMBEDDINGS]!r}")


def _check_layer(name: str, columns: int, type: str, target: Target | None) -> None:
    try:
        check_columns(columns, type)
    except ValueError as error:
        raise ExportError(f"{name}: {error}") from None
    elements = block_type(type).elements
    if target and target.precision in (INT4, W4A8) and target.group_size % elements:
        raise ExportError(
            f"{name}: expected group_size a multiple of {elements} for {type}, got {target.group_size}"
        )


class _Writer:
    """The tensors of one model as a GGUF file has them."""

    def __init__(self, source: Source, target: Target) -> None:
        self._source, self._target = source, target
        self.places: dict[str, tuple[str, str]] = {}  # our name → theirs, and its type
        self._digests: dict[str, str] = {}

    def place(self, name: str, type: str) -> str:
        theirs = gguf_name(name)
        if theirs is None:
            raise ExportError(f"{self._source.folder}: {name} has no place in a GGUF file of a Llama")
        self.places[name] = theirs, type
        return theirs

    def tensor(self, name: str, packed: bool) -> Tensor:
        tensor = self._source.seen(name)
        if not tensor.isfinite().all():
            raise ExportError(
                f"{self._source.folder}: {name} is not finite: training diverged; take an earlier checkpoint"
            )
        type = self.places[name][1]
        if type in PLAIN:
            stored = tensor.to(PLAIN[type])
            self._digests[name] = digest(stored)
            return self._reordered(name, stored)
        if packed and self._target.precision != NONE:
            codes, scale = quantize_weight(tensor, self._target.precision, self._target.group_size)
        else:
            codes, scale = quantize_q8_0(tensor)
        blocks = codes.shape[1] // block_type(type).elements
        wide = scale.reshape(-1, scale.shape[-1] if scale.dim() == 2 else 1, 1)
        wide = wide.expand(codes.shape[0], -1, blocks // wide.shape[1]).flatten(1)
        self._digests[name] = digest(codes, wide.to(torch.float16).float())
        try:
            return pack_gguf(self._reordered(name, codes), self._reordered(name, wide), type)
        except ValueError as error:
            raise ExportError(f"{name}: {error}") from None

    def verify(self, file: GgufFile, report: ExportReport) -> None:
        for name, expected in tqdm(self._digests.items(), desc="checking", unit="tensor", disable=None):
            theirs, type = self.places[name]
            found = digest(*(self._restored(name, part) for part in _read(file, theirs, type)))
            if found != expected:
                raise ExportError(f"{file.path}: {theirs} reads back differently than it was written")
            report.packed_layers += type in BLOCK_TYPES
            report.plain_tensors += type not in BLOCK_TYPES

    def _reordered(self, name: str, rows: Tensor) -> Tensor:
        heads = heads_of(name, self._config)
        return rows if heads is None else to_neighbours(rows, heads)

    def _restored(self, name: str, rows: Tensor) -> Tensor:
        heads = heads_of(name, self._config)
        return rows if heads is None else from_neighbours(rows, heads)

    @property
    def _config(self) -> dict[str, object]:
        return {"num_key_value_heads": self._source.config["num_attention_heads"]} | self._source.config


def _read(file: GgufFile, name: str, type: str) -> Iterator[Tensor]:
    raw = file.load(name)
    yield from unpack_gguf(raw, type) if type in BLOCK_TYPES else (raw,)
