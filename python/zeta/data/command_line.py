"""The command line: ``python -m zeta.data prepare``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from zeta.byte_size import byte_size
from zeta.data.errors import DataError
from zeta.data.options import PrepareOptions, available_cpus
from zeta.data.prepare import prepare
from zeta.data.progress import Progress
from zeta.data.selection import Selection
from zeta.one_line_parser import OneLineParser

_PROGRAM = "python -m zeta.data"
_PLACES = """\
places:
  A path, file:///… or s3://bucket/prefix. For S3 and MinIO set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
  and, unless it is AWS, AWS_ENDPOINT_URL (or append ?endpoint_override=http://HOST:PORT).

running it again:
  With the same inputs and options it does nothing. After a kill it goes on with the shards that were
  finished. If an input or option changed, it refuses, unless --overwrite says to replace the output.

files that cannot be used:
  One that is unreadable, not UTF-8, empty or too large is skipped, named on the screen and in
  OUTPUT/manifest.json.

example:
  python -m zeta.data prepare --input ~/src --exclude test --output s3://corpora/src --tokenizer train
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit status: 0 done or nothing to do, 1 failed, 130 interrupted; wrong usage exits with 2.
    """
    given = _parser().parse_args(arguments)
    try:
        print(prepare(_options(given), Progress(sys.stderr)))
    except DataError as error:
        print(f"{_PROGRAM}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{_PROGRAM}: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _options(given: argparse.Namespace) -> PrepareOptions:
    fraction = given.validation_fraction
    return PrepareOptions(
        inputs=given.input,
        output=given.output,
        tokenizer=given.tokenizer,
        vocab_size=given.vocab_size,
        validation_fraction=PrepareOptions.validation_fraction if fraction is None else fraction,
        validation_inputs=given.validation_input or (),
        selection=Selection(given.include, given.exclude),
        max_file_size=given.max_file_size,
        num_cpus=given.num_cpus,
        seed=given.seed,
        overwrite=given.overwrite,
    )


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog=_PROGRAM, description="Prepare text for training.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "prepare",
        help="turn text and code files into token shards",
        description="Turn text and code files into Parquet token shards with a manifest.",
        epilog=_PLACES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_places(command)
    _add_tokenizer(command)
    _add_validation(command)
    _add_running(command)
    return parser


def _add_places(command: argparse.ArgumentParser) -> None:
    add = command.add_argument_group("what goes in and out").add_argument
    add(
        "--input",
        nargs="+",
        action="extend",
        required=True,
        metavar="URI",
        help="files or folders to train on",
    )
    add("--output", required=True, metavar="URI", help="where the shards go: an empty or missing folder")
    add(
        "--include",
        nargs="+",
        action="extend",
        default=[],
        metavar="GLOB",
        help="take these files of a folder (default: the usual suffixes of text and code); with a '/' the "
        "glob is matched against the path below the input, without against the name",
    )
    add(
        "--exclude",
        nargs="+",
        action="extend",
        default=[],
        metavar="GLOB",
        help="leave out these files and folders, besides hidden ones, __pycache__ and node_modules",
    )
    add(
        "--max-file-size",
        type=byte_size,
        default="64MiB",
        metavar="SIZE",
        help="skip larger files (default %(default)s)",
    )


def _add_tokenizer(command: argparse.ArgumentParser) -> None:
    add = command.add_argument_group("tokenizer").add_argument
    add(
        "--tokenizer",
        required=True,
        metavar="train|PATH",
        help="'train' learns a byte-level BPE from the train split; else a Hugging Face tokenizer folder",
    )
    size = PrepareOptions.vocab_size
    add(
        "--vocab-size", type=int, default=size, metavar="N", help="most tokens to learn (default %(default)s)"
    )


def _add_validation(command: argparse.ArgumentParser) -> None:
    add = command.add_argument_group("validation").add_mutually_exclusive_group().add_argument
    add(
        "--validation-fraction",
        type=float,
        metavar="F",
        help="hold out this share of the documents, chosen by a hash of their content "
        f"(default {PrepareOptions.validation_fraction})",
    )
    add(
        "--validation-input",
        nargs="+",
        action="extend",
        metavar="URI",
        help="hold out these files or folders; what is equal in --input is not trained on",
    )
    command.add_argument("--seed", type=int, default=0, help="of the choice by hash (default %(default)s)")


def _add_running(command: argparse.ArgumentParser) -> None:
    add = command.add_argument_group("running").add_argument
    add(
        "--num-cpus",
        type=int,
        default=available_cpus(),
        metavar="N",
        help="CPUs to use (default %(default)s)",
    )
    add("--overwrite", action="store_true", help="replace an output made from other inputs or options")
