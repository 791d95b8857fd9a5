"""Export, step by step."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from zeta.export.dtypes import parse_dtype
from zeta.export.errors import ExportError
from zeta.export.folder import new_folder
from zeta.export.metadata import write_metadata
from zeta.export.report import ExportReport
from zeta.export.skeleton import check_weights, read_skeleton
from zeta.export.source import Source, open_source
from zeta.export.target import check_layers, choose_target, note_on_rounding
from zeta.export.tokenizer import check_tokenizer
from zeta.export.writer import ModelWriter

DEFAULT_SHARD_SIZE = 5_000_000_000


def export(
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    precision: str | None = None,
    *,
    group_size: int | None = None,
    dtype: str | None = None,
    max_shard_size: int = DEFAULT_SHARD_SIZE,
    overwrite: bool = False,
) -> ExportReport:
    """Write a checkpoint as a Hugging Face folder whose linear layers are packed as their training saw them.

    Weights are read and written one at a time: beside the mapped checkpoint, memory holds one fp32 weight and
    one output file. What is written is read back and compared before `out` appears, whole, in one step.

    Args:
        checkpoint: a `step-NNNNNN` folder of `zeta.train`, a run (its latest checkpoint), or a plain Hugging
            Face folder.
        out: the folder to make.
        precision: a precision of `BitLinear` or `"none"`; left out, what was trained with. A model trained with
            `"none"` can be rounded to any.
        group_size: input features that share a 4-bit scale; left out, what was trained with, or 128.
        dtype: of the tensors that are not packed, as `"bfloat16"`; left out, what was trained with.
        max_shard_size: bytes of tensors in one safetensors file.
        overwrite: replace `out`, if it is a model folder.
    Returns:
        sizes before and after, and what was checked.
    Raises:
        ExportError: the input is missing, truncated or foreign, the wishes contradict it, or the disk is
            full. `out` is then as it was before.
    """
    wanted = parse_dtype(dtype, "the wish") if dtype is not None else None
    return export_source(
        open_source(Path(checkpoint)), out, precision, group_size, wanted, max_shard_size, overwrite
    )


def export_source(
    source: Source,
    out: str | os.PathLike[str],
    precision: str | None = None,
    group_size: int | None = None,
    dtype: torch.dtype | None = None,
    max_shard_size: int = DEFAULT_SHARD_SIZE,
    overwrite: bool = False,
) -> ExportReport:
    """`export` of what is opened already."""
    out = Path(os.path.abspath(out))
    if source.folder.resolve().is_relative_to(out.resolve()):
        raise ExportError(f"{out}: holds the checkpoint itself; choose another place")
    target = choose_target(source, precision, group_size, dtype)
    skeleton = read_skeleton(source.folder)
    check_weights(source.folder, skeleton, source.weights.shapes)
    check_layers(target, skeleton)
    check_tokenizer(source.tokenizer, skeleton.vocab_size)

    report = ExportReport(out, target.precision, notes=note_on_rounding(source, target))
    config = target.form and target.form.quantization_config(unpacked=[skeleton.head])
    writer = ModelWriter(source, skeleton, target)
    try:
        with new_folder(out, overwrite) as folder:
            writer.write(folder, max_shard_size, report)
            write_metadata(folder, source, skeleton, target.dtype, config)
            writer.verify(folder, report)
    except OSError as error:
        raise ExportError(f"{out}: {error.strerror or error}; nothing was exported") from error
    return report
