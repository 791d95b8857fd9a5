"""`python -m zeta.export CHECKPOINT OUT`: see `--help`."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from zeta.byte_size import byte_size
from zeta.export.errors import ExportError
from zeta.one_line_parser import OneLineParser

if TYPE_CHECKING:
    from zeta.export.report import ExportReport


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return 0, 1 for what the user can mend, or 2 for a wrong command line."""
    args = _parser().parse_args(arguments)
    try:
        report = _export(args)
    except ExportError as error:
        print(f"zeta.export: {error}", file=sys.stderr)
        return 1
    print(report)
    return 0


def _export(args: argparse.Namespace) -> ExportReport:
    # torch and transformers take seconds; --help should not
    reads, writes = args.checkpoint.suffix == ".gguf", args.out.suffix == ".gguf"
    if (args.type or args.embedding_type) and not writes:
        raise ExportError(f"--type and --embedding-type are for an OUT that ends in .gguf, got {args.out}")
    if args.tokenizer and not reads:
        raise ExportError(f"--tokenizer is for a CHECKPOINT that ends in .gguf, got {args.checkpoint}")
    if reads:
        from zeta.export.gguf import import_gguf

        if args.precision or args.group_size or writes:
            raise ExportError(
                f"{args.checkpoint}: its weights stay as they are; give a folder and no precision"
            )
        return import_gguf(
            args.checkpoint,
            args.out,
            tokenizer=args.tokenizer,
            dtype=args.dtype,
            max_shard_size=args.max_shard_size,
            overwrite=args.overwrite,
        )
    wishes = {"group_size": args.group_size, "dtype": args.dtype, "overwrite": args.overwrite}
    if writes:
        from zeta.export.gguf import export_gguf

        types = {"type": args.type, "embedding_type": args.embedding_type}
        return export_gguf(args.checkpoint, args.out, args.precision, **types, **wishes)
    from zeta.export.pipeline import export

    return export(args.checkpoint, args.out, args.precision, max_shard_size=args.max_shard_size, **wishes)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="python -m zeta.export",
        description="Write a training checkpoint as a Hugging Face folder with packed weights.",
    )
    parser.add_argument(
        "checkpoint",
        type=Path,
        help="step-NNNNNN folder, run folder (its latest checkpoint), Hugging Face folder, or GGUF file",
    )
    parser.add_argument(
        "out", type=Path, help="folder, or file NAME.gguf, to make; it appears whole or not at all"
    )
    parser.add_argument(
        "--precision",
        choices=("1.58bit", "4bit", "w4a8", "fp8", "none"),
        help="of linear layers; default: what was trained with",
    )
    parser.add_argument(
        "--group-size",
        type=int,
        metavar="N",
        help="inputs that share a scale, for 4bit and w4a8; default: as trained, or 128",
    )
    parser.add_argument(
        "--dtype", help="of what is not packed: float32, bfloat16, float16; default: as trained"
    )
    parser.add_argument(
        "--max-shard-size", type=byte_size, default="5GB", metavar="SIZE", help="of one file; default: 5GB"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is a model")
    parser.add_argument("--type", help="of linear layers in a GGUF file: TQ1_0, TQ2_0, Q4_0, Q8_0")
    parser.add_argument("--embedding-type", help="of embeddings and output layer in a GGUF file: Q8_0")
    parser.add_argument(
        "--tokenizer", type=Path, help="folder of the tokenizer of a GGUF file, if not to be its own"
    )
    return parser


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda caught, _: sys.exit(128 + caught))  # unwinds, and so cleans up
    sys.exit(main())
