"""The command line of `train.py`."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from zeta.train.params import ZetaParams, parse_zeta_params, zeta_params_table
from zeta.train.presets import PRESETS

_EXIT_CODES = """exit codes:
  0    finished
  1    a mistake, named on standard error
  2    a wrong command line
  128+ stopped, saved, and to be gone on with by --resume: 143 by SIGTERM, 130 by SIGINT, 129 by the end
       of the terminal (SIGHUP) or of the deepspeed command"""

_ENVIRONMENT = """environment:
  ZETA_CACHE_DIR       where the data is unpacked to be mapped (default: ~/.cache/zeta)
  ZETA_CACHE_SIZE      what that may hold, such as 500GB; the longest unused goes first (default: 32GiB)
  MLFLOW_TRACKING_URI  sends metrics there"""


@dataclass(frozen=True)
class Options:
    """A parsed command line; None means that the program chooses."""

    config: Path
    params: ZetaParams
    model: str
    data: str | None
    output: Path | None
    resume: bool
    steps: int | None
    epochs: float | None
    max_minutes: float | None
    lr: float | None
    warmup_steps: int
    min_lr_ratio: float
    eval_every: int
    eval_tokens: int
    save_every: int
    keep: int
    log_every: int
    seed: int


class _Parser(argparse.ArgumentParser):
    """Prints an error once a machine, not once a rank."""

    def error(self, message: str) -> NoReturn:
        if os.environ.get("LOCAL_RANK", "0") == "0":
            print(f"train: error: {message} (--help lists the options)", file=sys.stderr)
        raise SystemExit(2)


def _at_least(kind: type, minimum: float, exclusive: bool = False) -> Callable[[str], float]:
    """An argparse type that refuses a number below `minimum`."""
    limit = f"a number > {minimum}" if exclusive else f"{kind.__name__} ≥ {minimum}"

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not (value > minimum if exclusive else value >= minimum):
            raise argparse.ArgumentTypeError(f"expected {limit}, got {text!r}")
        return value

    return parse


def _parser() -> argparse.ArgumentParser:
    natural, positive = _at_least(int, 1), _at_least(float, 0, exclusive=True)
    count = _at_least(int, 0)
    parser = _Parser(
        prog="train.py",
        description="Trains a Llama language model under DeepSpeed ZeRO-3.",
        epilog=f"keys of --zeta_params:\n{zeta_params_table()}\n\n{_EXIT_CODES}\n\n{_ENVIRONMENT}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--config", type=Path, required=True, metavar="JSON", help="DeepSpeed's configuration file")
    add("--zeta_params", default="", metavar="LIST", help='"key=value, key=value"; the keys are listed below')
    add("--local_rank", type=int, default=0, help="set by the deepspeed launcher")
    add(
        "--model",
        default="small",
        metavar="NAME|JSON",
        help=f"{', '.join(PRESETS)}, or a transformers Llama config.json (default: %(default)s)",
    )
    add(
        "--data",
        metavar="URI",
        help="token shards of `zeta.data prepare`; without it ./data is made from Python's standard library",
    )
    add("--output", type=Path, metavar="DIR", help="checkpoints and metrics (default: runs/DATE-TIME)")
    add(
        "--resume",
        action="store_true",
        help="go on from the last checkpoint of --output, or of the newest run",
    )
    add("--steps", type=natural, help="stop after this many optimizer steps")
    add(
        "--epochs",
        type=positive,
        help="stop after this many passes over the data (default: 1 if nothing else)",
    )
    add(
        "--max-minutes",
        type=positive,
        help="stop after this much training time; the schedule follows the clock",
    )
    add("--lr", type=positive, help="peak learning rate, in place of optimizer.params.lr in --config")
    add("--warmup-steps", type=count, default=50, metavar="N", help="linear warm-up (default: %(default)s)")
    add(
        "--min-lr-ratio",
        type=_at_least(float, 0),
        default=0.1,
        metavar="R",
        help="the learning rate's floor as a part of its peak (default: %(default)s)",
    )
    add(
        "--eval-every",
        type=count,
        default=250,
        metavar="N",
        help="steps between evaluations; 0: only at the end (default: %(default)s)",
    )
    add(
        "--eval-tokens",
        type=count,
        default=131072,
        metavar="N",
        help="validation tokens an evaluation reads at most; 0: all (default: %(default)s)",
    )
    add(
        "--save-every",
        type=count,
        default=250,
        metavar="N",
        help="steps between checkpoints; 0: only at the end (default: %(default)s)",
    )
    add("--keep", type=natural, default=2, metavar="N", help="newest checkpoints kept (default: %(default)s)")
    add(
        "--log-every",
        type=natural,
        default=10,
        metavar="N",
        help="steps between metrics (default: %(default)s)",
    )
    add(
        "--seed",
        type=count,
        default=0,
        help="of the weights and the order of the data (default: %(default)s)",
    )
    return parser


def parse_arguments(argv: Sequence[str] | None = None) -> Options:
    """Parses `argv`, by default the process's; bad usage exits with 2.

    Raises:
        TrainError: what `parse_zeta_params` refuses.
    """
    values = vars(_parser().parse_args(argv))
    values["params"] = parse_zeta_params(values.pop("zeta_params"))
    del values["local_rank"]  # LOCAL_RANK in the environment says the same under every launcher.
    return Options(**values)
