"""`python -m zeta.export SOURCE OUT`: see `--help`."""

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

# Which options each kind of source takes; any of the others is refused.
_OF_CHECKPOINTS = {
    "precision",
    "group_size",
    "dtype",
    "max_shard_size",
    "type",
    "embedding_type",
    "tokenizer",
}
_OF_MODULES = {"inputs", "max_batch_size", "weights"}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return 0, 1 for what the user can mend, or 2 for a wrong command line."""
    parser = _parser()
    args = parser.parse_args(arguments)
    of_module = args.format in ("torchscript", "aoti")
    for name in sorted(_OF_CHECKPOINTS if of_module else _OF_MODULES):
        if getattr(args, name) is not None:
            flag = "--input" if name == "inputs" else f"--{name.replace('_', '-')}"
            parser.error(f"{flag} does not go with --format {args.format}")
    if of_module and not args.inputs:
        parser.error(f"--format {args.format} needs --input")
    try:
        print(_export_module(args, parser) if of_module else _export_checkpoint(args))
    except ExportError as error:
        print(f"zeta.export: {error}", file=sys.stderr)
        return 1
    return 0


def _export_checkpoint(args: argparse.Namespace) -> ExportReport:
    # torch and transformers take seconds; --help should not
    reads, writes = Path(args.source).suffix == ".gguf", args.out.suffix == ".gguf"
    if (args.type or args.embedding_type) and not writes:
        raise ExportError(f"--type and --embedding-type are for an OUT that ends in .gguf, got {args.out}")
    if args.tokenizer and not reads:
        raise ExportError(f"--tokenizer is for a SOURCE that ends in .gguf, got {args.source}")
    if (reads or writes) and args.format != "folder":
        raise ExportError(f"--format {args.format} does not go with GGUF files: make a folder first")
    from zeta.export.pipeline import DEFAULT_SHARD_SIZE

    max_shard_size = args.max_shard_size or DEFAULT_SHARD_SIZE
    if reads:
        from zeta.export.gguf import import_gguf

        if args.precision or args.group_size or writes:
            raise ExportError(f"{args.source}: its weights stay as they are; give a folder and no precision")
        return import_gguf(
            Path(args.source),
            args.out,
            tokenizer=args.tokenizer,
            dtype=args.dtype,
            max_shard_size=max_shard_size,
            overwrite=args.overwrite,
        )
    wishes = {"group_size": args.group_size, "dtype": args.dtype, "overwrite": args.overwrite}
    if writes:
        from zeta.export.gguf import export_gguf

        types = {"type": args.type, "embedding_type": args.embedding_type}
        return export_gguf(args.source, args.out, args.precision, **types, **wishes)
    from zeta.export.engine_repository import export_engine_repository
    from zeta.export.pipeline import export

    run = export if args.format == "folder" else export_engine_repository
    return run(args.source, args.out, args.precision, max_shard_size=max_shard_size, **wishes)


def _export_module(args: argparse.Namespace, parser: OneLineParser) -> str:
    from zeta.export.module_source import example_input, load_module
    from zeta.export.repository import export_repository

    try:
        inputs = dict(example_input(text) for text in args.inputs)
    except ValueError as error:
        parser.error(f"argument --input: {error}")
    module = load_module(args.source, args.weights)
    out = export_repository(
        module, inputs, args.out,
        format=args.format, max_batch_size=args.max_batch_size or 0, overwrite=args.overwrite,
    )  # fmt: skip
    return f"wrote {out}"


def _batch_size(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {text}")
    return int(text)


def _parser() -> OneLineParser:
    parser = OneLineParser(
        prog="python -m zeta.export",
        description="Write a training checkpoint or a PyTorch module as a model that zeta-server runs.",
    )
    parser.add_argument(
        "source",
        help="step-NNNNNN folder, run folder (its latest checkpoint), Hugging Face folder, or GGUF file; "
        "for torchscript and aoti MODULE:NAME, an nn.Module or what gives one",
    )
    parser.add_argument(
        "out", type=Path, help="folder, or file NAME.gguf, to make; it appears whole or not at all"
    )
    parser.add_argument(
        "--format",
        choices=("folder", "zeta", "torchscript", "aoti"),
        default="folder",
        help="folder: a Hugging Face folder; zeta: the same as a model of a repository; torchscript, aoti: a "
        "module as a model of a repository; default: folder",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is a model folder")
    weights = parser.add_argument_group("of a checkpoint")
    weights.add_argument(
        "--precision",
        choices=("1bit", "1.58bit", "2bit", "4bit", "w4a8", "8bit", "fp8", "none"),
        help="of linear layers; default: what was trained with",
    )
    weights.add_argument(
        "--group-size",
        type=int,
        metavar="N",
        help="inputs that share a scale, for 4bit and w4a8; default: as trained, or 128",
    )
    weights.add_argument(
        "--dtype", help="of what is not packed: float32, bfloat16, float16; default: as trained"
    )
    weights.add_argument("--max-shard-size", type=byte_size, metavar="SIZE", help="of one file; default: 5GB")
    module = parser.add_argument_group("of a module")
    module.add_argument(
        "--input",
        action="append",
        dest="inputs",
        metavar="NAME:TYPE:SIZES",
        help="an argument of forward, such as x:FP32:2,16 (repeatable); with --max-batch-size the first size is "
        "a batch of at least 2",
    )
    module.add_argument(
        "--max-batch-size", type=_batch_size, metavar="N", help="batch requests up to that; default: do not"
    )
    module.add_argument(
        "--weights", type=Path, metavar="FILE", help="state dict, .safetensors or as torch saves it"
    )
    gguf = parser.add_argument_group("of GGUF files")
    gguf.add_argument("--type", help="of linear layers: TQ1_0, TQ2_0, Q4_0, Q8_0")
    gguf.add_argument("--embedding-type", help="of embeddings and output layer: Q8_0")
    gguf.add_argument(
        "--tokenizer", type=Path, metavar="FOLDER", help="its tokenizer, if not to be the file's own"
    )
    return parser


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda caught, _: sys.exit(128 + caught))  # unwinds, and so cleans up
    sys.exit(main())
