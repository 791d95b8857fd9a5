"""The token shards of a run: the ones named, or ones made from text that every machine has."""

import subprocess
import sys
from pathlib import Path

from zeta.data import TokenShards
from zeta.data.standard_library import LEFT_OUT, standard_library
from zeta.train.errors import TrainError
from zeta.train.ranks import Ranks

_DEFAULT_FOLDER = Path("data")
_DEFAULT_VOCABULARY = 4096


def open_shards(uri: str | None, ranks: Ranks) -> TokenShards:
    """Opens `uri`; without one, `./data`, which rank 0 prepares from Python's standard library.

    Raises:
        TrainError: on every rank, if there are no complete shards or they cannot be made.
    """
    with ranks.together():
        if uri is None and ranks.is_main:
            _prepare_standard_library()
    with ranks.together():
        return TokenShards(uri if uri is not None else _DEFAULT_FOLDER)


def _prepare_standard_library() -> None:
    """Runs `zeta.data prepare`, which does nothing when its output is complete."""
    source = standard_library()
    print(
        f"train: no --data given: preparing Python's standard library ({source}) into ./{_DEFAULT_FOLDER}",
        file=sys.stderr,
        flush=True,
    )
    command = [
        sys.executable,
        "-m",
        "zeta.data",
        "prepare",
        "--input",
        str(source),
        "--include",
        "*.py",
        "--exclude",
        *LEFT_OUT,
        "--output",
        str(_DEFAULT_FOLDER),
        "--tokenizer",
        "train",
        "--vocab-size",
        str(_DEFAULT_VOCABULARY),
    ]
    code = subprocess.run(command, check=False).returncode
    if code:
        raise TrainError(f"preparing ./{_DEFAULT_FOLDER} failed with exit code {code}; its message is above")
