"""The program behind `examples/train.py`."""

import os
import sys
import traceback
from collections.abc import Sequence

from zeta.train.arguments import parse_arguments
from zeta.train.errors import RankError, TrainError


def main(argv: Sequence[str] | None = None) -> int:
    """Trains as the command line says and returns the exit code; one of several ranks ends with it at once.

    0: finished. 1: a mistake of the caller's, printed as one line on each machine; a defect of ours ends with
    a traceback and 1. 2: a wrong command line. 128 + the number of what stopped it, after saving: SIGTERM 143,
    SIGINT 130, SIGHUP or the end of the deepspeed command 129.
    """
    try:
        options = parse_arguments(argv)
        from zeta.train.run import run  # Late, so that --help and a wrong flag need no torch.

        stop = run(options)
    except TrainError as error:
        if isinstance(error, RankError) or os.environ.get("LOCAL_RANK", "0") == "0":
            print(f"train: error: {error}", file=sys.stderr, flush=True)
        return 1
    except Exception as error:
        if _lost_a_rank(error):
            print(
                f"train: rank {os.environ['RANK']} ends because another rank did", file=sys.stderr, flush=True
            )
        else:
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(1)  # Threads that wait for lost ranks would hold up a plain exit.
    code = 0 if stop is None else 128 + stop
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # All is saved and closed. Threads of the libraries between ranks can abort a plain exit: a finished
        # rank was once seen to end with "terminate called without an active exception".
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _lost_a_rank(error: Exception) -> bool:
    """Whether a collective failed because another process is gone; that one has said why, or was killed."""
    text = str(error)
    return isinstance(error, RuntimeError) and "gloo" in text and "Connection" in text
