"""`python -m zeta.export CHECKPOINT OUT`: see `--help`."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from zeta.byte_size import byte_size
from zeta.export.errors import ExportError
from zeta.one_line_parser import OneLineParser


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return 0, 1 for what the user can mend, or 2 for a wrong command line."""
    args = _parser().parse_args(arguments)
    from zeta.export.pipeline import export  # torch and transformers take seconds; --help should not

    try:
        report = export(
            args.checkpoint,
            args.out,
            args.precision,
            group_size=args.group_size,
            dtype=args.dtype,
            max_shard_size=args.max_shard_size,
            overwrite=args.overwrite,
        )
    except ExportError as error:
        print(f"zeta.export: {error}", file=sys.stderr)
        return 1
    print(report)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="python -m zeta.export",
        description="Write a training checkpoint as a Hugging Face folder with packed weights.",
    )
    parser.add_argument(
        "checkpoint",
        type=Path,
        help="step-NNNNNN folder, run folder (its latest checkpoint), or Hugging Face folder",
    )
    parser.add_argument("out", type=Path, help="folder to make; it appears whole or not at all")
    parser.add_argument(
        "--precision",
        choices=("1.58bit", "4bit", "fp8", "none"),
        help="of linear layers; default: what was trained with",
    )
    parser.add_argument(
        "--group-size",
        type=int,
        metavar="N",
        help="inputs that share a scale, for 4bit only; default: as trained, or 128",
    )
    parser.add_argument(
        "--dtype", help="of what is not packed: float32, bfloat16, float16; default: as trained"
    )
    parser.add_argument(
        "--max-shard-size", type=byte_size, default="5GB", metavar="SIZE", help="of one file; default: 5GB"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is a model folder")
    return parser


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda caught, _: sys.exit(128 + caught))  # unwinds, and so cleans up
    sys.exit(main())
