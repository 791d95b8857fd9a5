"""Time on the GPU itself, by its own events."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import monotonic

import torch


def graph_seconds(calls: list[Callable[[], object]], samples: int = 30) -> float:
    """Seconds a call: all of `calls` captured as one CUDA graph, the median of its replays.

    A graph leaves out the time that Python takes to launch, as a serving loop does that replays one.
    """
    for call in calls:
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    return event_seconds(graph.replay, samples) / len(calls)


def event_seconds(call: Callable[[], object], samples: int = 30, warm_up: float = 0.05) -> float:
    """Seconds between events before and after `call`, the median; launches that Python delays count.

    A GPU that has idled is slow at first: `warm_up` seconds of calls go before.
    """
    begin = monotonic()
    while monotonic() - begin < warm_up:
        call()
        torch.cuda.synchronize()
    times = []
    for _ in range(samples):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / 1e3)
    return median(times)


def copy_bandwidth() -> float:
    """Bytes a second, read and written, of a device-to-device copy of 4 GiB."""
    source = torch.randn(1 << 30, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.nbytes / event_seconds(lambda: target.copy_(source))


def heading() -> str:
    return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
