"""Peak memory of this process."""

import resource

import torch

from zeta.train.accelerator import on_gpu


def peak_memory_bytes() -> int:
    """The most device memory that this rank has had allocated; on a CPU the most resident memory."""
    if on_gpu():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
