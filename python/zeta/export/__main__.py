"""`python -m zeta.export CHECKPOINT OUT`: see `--help`."""

from __future__ import annotations

import argparse
import re
import signal
import sys
from pathlib import Path

from zeta.export.errors import ExportError

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


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
    parser = argparse.ArgumentParser(
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
        choices=("1.58bit", "4bit", "none"),
        help="of linear layers; default: what was trained with",
    )
    parser.add_argument(
        "--group-size",
        type=int,
        metavar="N",
        help="inputs that share a 4bit scale; default: as trained, or 128",
    )
    parser.add_argument(
        "--dtype", help="of what is not packed: float32, bfloat16, float16; default: as trained"
    )
    parser.add_argument(
        "--max-shard-size", type=_size, default="5GB", metavar="SIZE", help="of one file; default: 5GB"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is a model folder")
    return parser


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([KMG]I?B)?", text.strip().upper())
    if not match or int(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"expected a size such as 500MB or 5GB, got {text!r}")
    return int(match[1]) * _UNITS[match[2] or ""]


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda caught, _: sys.exit(128 + caught))  # unwinds, and so cleans up
    sys.exit(main())
