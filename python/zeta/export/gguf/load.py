"""From a GGUF file to a Hugging Face folder, codes as they are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from zeta.export.digest import digest
from zeta.export.dtypes import dtype_name, parse_dtype
from zeta.export.errors import ExportError
from zeta.export.folder import check_replaceable, new_folder
from zeta.export.form import Form
from zeta.export.gguf.file import GgufFile
from zeta.export.gguf.header import read_config
from zeta.export.gguf.layers import choose_form, read_layer, read_plain, stored_scale
from zeta.export.gguf.llama import from_neighbours, heads_of, our_name
from zeta.export.gguf.vocabulary import special_ids, write_tokenizer
from zeta.export.int4 import Int4
from zeta.export.metadata import write_json
from zeta.export.pipeline import DEFAULT_SHARD_SIZE
from zeta.export.report import ExportReport, kind_of
from zeta.export.safetensors_files import SafetensorsWeights
from zeta.export.shards import ShardWriter
from zeta.export.skeleton import Skeleton, check_weights, read_skeleton
from zeta.export.tokenizer import TOKENIZER_FILES, check_tokenizer

_FACTORS = "rope_freqs.weight"
_EMBEDDING = "token_embd.weight"


def import_gguf(
    file: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    tokenizer: str | os.PathLike[str] | None = None,
    dtype: str | None = None,
    max_shard_size: int = DEFAULT_SHARD_SIZE,
    overwrite: bool = False,
) -> ExportReport:
    """Write a GGUF file's model as a Hugging Face folder, which `transformers` and `zeta-server` load.

    Linear layers of TQ1_0 and TQ2_0 whose blocks share a scale become `bitnet`; if all others are plain, that is the
    folder's form. Otherwise ternary and Q4_0 layers become `compressed-tensors` 4-bit, in the largest groups that
    their scales allow. Codes and scales are kept, so that the weights are those of the file. Everything else is
    stored as floats. What is written is read back and compared before `out` appears, whole, in one step.

    Args:
        file: of the architecture `llama`; tensors in F32, F16, BF16, TQ1_0, TQ2_0, Q4_0, Q8_0, Q4_K or Q6_K.
        out: the folder to make.
        tokenizer: a folder with a tokenizer.json instead of the file's own.
        dtype: of the tensors that are not packed; left out, that of the file's embedding, or float32.
        max_shard_size, overwrite: as for `zeta.export.export`.
    Raises:
        ExportError: the file is missing, truncated or inconsistent, or holds what a folder cannot.
    """
    file, out = Path(file), Path(os.path.abspath(out))
    check_replaceable(out, overwrite)
    gguf = GgufFile(file)
    config = _config(gguf)
    stored = gguf.tensors[_EMBEDDING].type.dtype
    chosen = parse_dtype(dtype, "the wish") if dtype is not None else stored or torch.float32
    config |= {"dtype": dtype_name(chosen), "use_cache": True}
    try:
        with new_folder(out, overwrite) as folder:
            write_json(folder / "config.json", config)
            model = _Model(gguf, config, read_skeleton(folder), chosen)
            report = ExportReport(out, model.precision, notes=model.notes)
            model.write(folder, max_shard_size, report)
            if quantization := model.quantization_config():
                write_json(folder / "config.json", config | {"quantization_config": quantization})
            write_json(folder / "generation_config.json", special_ids(gguf.values))
            _write_tokenizer(gguf, Path(tokenizer) if tokenizer is not None else None, folder)
            check_tokenizer(folder, config["vocab_size"])
            model.verify(folder, report)
    except OSError as error:
        raise ExportError(f"{out}: {error.strerror or error}; nothing was written") from error
    return report


def _config(gguf: GgufFile) -> dict[str, Any]:
    if _EMBEDDING not in gguf.tensors:
        raise ExportError(f"{gguf.path}: has no {_EMBEDDING}, which a Llama needs")
    factors = None
    if _FACTORS in gguf.tensors:
        factors = read_plain(gguf, _FACTORS).float()
    names = gguf.tensors.keys()
    return read_config(gguf.values, gguf.path, factors) | {
        "vocab_size": gguf.tensors[_EMBEDDING].shape[0],
        "tie_word_embeddings": "output.weight" not in names,
        "attention_bias": "blk.0.attn_q.bias" in names,
        "mlp_bias": "blk.0.ffn_up.bias" in names,
        **special_ids(gguf.values),
    }


def _write_tokenizer(gguf: GgufFile, given: Path | None, folder: Path) -> None:
    if given is None:
        write_tokenizer(gguf.values, folder, gguf.path)
        return
    for name in TOKENIZER_FILES:
        if (given / name).is_file():
            shutil.copyfile(given / name, folder / name)


class _Model:
    """The tensors of one file, by the names of its architecture."""

    def __init__(
        self, gguf: GgufFile, config: dict[str, Any], skeleton: Skeleton, dtype: torch.dtype
    ) -> None:
        self._gguf, self._config, self._skeleton, self._dtype = gguf, config, skeleton, dtype
        self._theirs: dict[str, str] = {}
        for theirs in gguf.tensors:
            ours = our_name(theirs)
            if ours is None and theirs != _FACTORS:
                raise ExportError(f"{gguf.path}: holds {theirs}, which a Llama has no place for")
            if ours is not None:
                self._theirs[ours] = theirs
        shapes = {ours: torch.Size(gguf.tensors[theirs].shape) for ours, theirs in self._theirs.items()}
        check_weights(gguf.path, skeleton, shapes)
        linear = {name: theirs for name, theirs in self._theirs.items() if self._is_linear(name)}
        biased = {name for name in linear if f"{name.removesuffix('.weight')}.bias" in self._theirs}
        self.precision, self._form, self._packed = choose_form(gguf, linear, biased)
        floats = sum(name not in self._packed for name in linear)
        self.notes = [f"{floats} linear layers are stored as floats"] if floats and self._packed else []
        self._digests: dict[str, str] = {}

    def quantization_config(self) -> dict[str, Any] | None:
        if self._form is None:
            return None
        layers = sorted(self._skeleton.linear)
        unpacked = [layer for layer in layers if f"{layer}.weight" not in self._packed]
        return self._form.quantization_config(unpacked=[self._skeleton.head, *unpacked])

    def write(self, folder: Path, limit: int, report: ExportReport) -> None:
        shards = ShardWriter(folder, limit)
        for name, shape in tqdm(self._skeleton.shapes.items(), desc="packing", unit="tensor", disable=None):
            size = report.sizes[kind_of(name, self._skeleton)]
            size.fp32 += 4 * shape.numel()
            for stored, tensor in self._tensors(name).items():
                shards.add(stored, tensor)
                size.packed += tensor.nbytes
        shards.finish()

    def verify(self, folder: Path, report: ExportReport) -> None:
        written = SafetensorsWeights(folder)
        for name, expected in tqdm(self._digests.items(), desc="checking", unit="tensor", disable=None):
            form = self._form_of(name)
            if form is not None:
                layer = name.removesuffix(".weight")
                found = digest(*form.decode({s: written.load(f"{layer}.{s}") for s in form.suffixes}))
                report.packed_layers += 1
            else:
                found = digest(written.load(name))
                report.plain_tensors += 1
            if found != expected:
                raise ExportError(f"{folder}: {name} reads back differently than it was written")

    def _tensors(self, name: str) -> dict[str, Tensor]:
        theirs, form = self._theirs[name], self._form_of(name)
        if form is None:
            plain = self._restored(name, read_plain(self._gguf, theirs)).to(self._dtype)
            self._digests[name] = digest(plain)
            return {name: plain}
        layer = read_layer(self._gguf, theirs)
        codes, scale = self._restored(name, layer.codes), layer.shared_scale()
        if isinstance(form, Int4):
            scale = self._restored(name, layer.group_scales(form.group_size))
        assert scale is not None
        encoded = form.encode(codes, scale, self._dtype)
        encoded["weight_scale"] = stored_scale(scale, encoded["weight_scale"].dtype)
        self._digests[name] = digest(codes, scale)
        return {f"{name.removesuffix('.weight')}.{suffix}": tensor for suffix, tensor in encoded.items()}

    def _restored(self, name: str, rows: Tensor) -> Tensor:
        heads = heads_of(name, self._config)
        return rows if heads is None else from_neighbours(rows, heads)

    def _is_linear(self, name: str) -> bool:
        layer, _, parameter = name.rpartition(".")
        return parameter == "weight" and layer in self._skeleton.linear

    def _form_of(self, name: str) -> Form | None:
        return self._form if name in self._packed else None
