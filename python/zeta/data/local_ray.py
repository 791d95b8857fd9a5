"""A Ray of our own on this machine for the time of one job: no dashboard, no reports home, no chatter."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Rows pass from step to step inside one task; the store holds only their small results.
_OBJECT_STORE_BYTES = 128 * 2**20
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Each task has one CPU; the tokenizer's own threads would fight over it.
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
}


@contextmanager
def local_ray(num_cpus: int) -> Iterator[None]:
    """Start Ray with ``num_cpus`` workers, and stop it and remove its files at the end.

    Should this process be killed, Ray's processes end with it. A Ray that the caller has started
    (``ray.init``) is used instead, and left running.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    package_root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [package_root, os.environ.get("PYTHONPATH")]))
    folder = tempfile.mkdtemp(prefix="zeta-ray-", dir=_short_temporary_folder())
    with _environment({**_ENVIRONMENT, "PYTHONPATH": path}), _sigterm_restored():
        import ray.data

        ray.init(
            address="local",
            num_cpus=num_cpus,
            num_gpus=0,
            object_store_memory=_OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=folder,
        )
        try:
            _exit_on_sigterm()
            logging.getLogger("ray.data").setLevel(logging.ERROR)
            ray.data.DataContext.get_current().enable_progress_bars = False
            yield
        finally:
            ray.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


def _short_temporary_folder() -> str:
    """Ray puts sockets up to 82 characters below; their paths may have 107 bytes."""
    folder = tempfile.gettempdir()
    return folder if len(os.fsencode(folder)) <= 24 else "/tmp"


def _exit_on_sigterm() -> None:
    """Unwind, as for an interrupt: the handler that Ray installs prints a stack and aborts."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


@contextmanager
def _sigterm_restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
