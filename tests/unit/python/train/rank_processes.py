"""Runs `zeta.train.main` on several ranks of this machine, forked from one process that has imported it."""

import multiprocessing
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path


def context() -> ForkServerContext:
    """Starts processes that have DeepSpeed imported: it takes seconds, a fork does not."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["DS_ACCELERATOR"] = "cpu"  # a machine has fewer GPUs than these tests have ranks
    forkserver = multiprocessing.get_context("forkserver")
    forkserver.set_forkserver_preload(["zeta.train.run"])
    return forkserver


@dataclass
class Job:
    """The processes of one run and the files with what they print."""

    processes: list[ForkServerProcess]
    logs: list[Path]

    def wait(self, seconds: float = 60.0) -> list[int | None]:
        """The exit codes; a rank that does not end in time is killed and has the code of SIGKILL."""
        deadline = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0.0, deadline - time.monotonic()))
        self.send(signal.SIGKILL)
        for process in self.processes:
            process.join()
        return [process.exitcode for process in self.processes]

    def send(self, number: signal.Signals) -> None:
        for process in self.processes:
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, number)

    def output(self) -> str:
        return "".join(log.read_text() for log in self.logs)


def start(
    argv: list[str],
    folder: Path,
    world_size: int = 2,
    largest_file: int | None = None,
    port: int | None = None,
    prepare: Callable[[], None] | None = None,
) -> Job:
    """Starts the ranks of one run in `folder`; none may write a file above `largest_file` bytes.

    `prepare`, a function of a module, is called in each before it trains.
    """
    port = port or _free_port()
    logs = [folder / f"rank{rank}.log" for rank in range(world_size)]
    processes = []
    for rank, log in enumerate(logs):
        variables = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(world_size),
            "LOCAL_SIZE": str(world_size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        processes.append(
            context().Process(
                target=_rank, args=(argv, str(folder), str(log), variables, largest_file, prepare)
            )
        )
        processes[-1].start()
    return Job(processes, logs)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _rank(
    argv: list[str],
    folder: str,
    log: str,
    variables: dict[str, str],
    largest_file: int | None,
    prepare: Callable[[], None] | None,
) -> None:
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    os.environ.update(variables)
    os.chdir(folder)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    from zeta.train import main

    if prepare is not None:
        prepare()
    sys.exit(main(argv))
