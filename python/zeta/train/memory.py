"""Peak memory of this process."""

import resource

import torch


def peak_memory_bytes() -> int:
    """The most device memory that this rank has had allocated; on a CPU the most resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
