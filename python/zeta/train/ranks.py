"""The processes of one run: who this one is, and how they agree."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from zeta.data import DataError
from zeta.train.accelerator import on_gpu
from zeta.train.errors import TrainError


@dataclass(frozen=True)
class Ranks:
    """This process's place in the run. All methods are collective: every rank calls them in one order."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def sum(self, values: list[float]) -> list[float]:
        """Adds each value over all ranks, in float64."""
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(total)
        return total.tolist()

    def share(self, value: Any) -> Any:
        """Returns rank 0's value."""
        box = [value]
        torch.distributed.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Raises TrainError on every rank if the body fails on any, so that none is left waiting for another.

        The body must not call a collective; what may fail in it is a TrainError, a DataError or an OSError.
        """
        problem = None
        try:
            yield
        except (TrainError, DataError) as error:
            problem = str(error)
        except OSError as error:
            problem = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        for text in self.gather(problem):
            if text is not None:
                raise TrainError(text)

    def gather(self, value: Any) -> list[Any]:
        """Returns every rank's value, in the order of ranks."""
        values = [None] * self.world_size
        torch.distributed.all_gather_object(values, value)
        return values


def join_ranks() -> Ranks:
    """Joins the ranks that the deepspeed launcher or torchrun started; started alone, it is the only one.

    Raises:
        TrainError: the port that the ranks meet on is taken.
    """
    _start_alone_without_launcher()
    import deepspeed
    from deepspeed.accelerator import get_accelerator

    local_rank = int(os.environ["LOCAL_RANK"])
    if on_gpu():
        get_accelerator().set_device(local_rank)
    else:
        _divide_cores()
        # DeepSpeed would compile its shared-memory collectives here; gloo needs no compiler.
        deepspeed.ops.__compatible_ops__ = {}
    try:
        deepspeed.init_distributed(auto_mpi_discovery=False, verbose=False)
    except torch.distributed.DistNetworkError as error:
        raise TrainError(_network_problem(error)) from error
    device = torch.device(get_accelerator().device_name(local_rank)) if on_gpu() else torch.device("cpu")
    return Ranks(torch.distributed.get_rank(), torch.distributed.get_world_size(), device)


def leave_ranks() -> None:
    """Closes the connections between the ranks."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _start_alone_without_launcher() -> None:
    if "RANK" in os.environ:
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ.update(
        RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )


def _divide_cores() -> None:
    """Gives each rank of this machine its part of the cores, unless OMP_NUM_THREADS says otherwise."""
    if "OMP_NUM_THREADS" not in os.environ:
        ranks_here = int(os.environ.get("LOCAL_SIZE") or os.environ.get("LOCAL_WORLD_SIZE") or 1)
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // ranks_here))


def _network_problem(error: Exception) -> str:
    address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    if "in use" in str(error).lower():
        return f"port {address} is in use, perhaps by another run: choose one with deepspeed --master_port"
    return f"the ranks could not meet at {address}: {str(error).splitlines()[0]}"
