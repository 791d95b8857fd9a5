"""Notices that a run has been asked to stop, so that it can save first."""

import ctypes
import os
import signal

import psutil

_PR_SET_PDEATHSIG = 1


class StopRequest:
    """Turns SIGTERM, SIGINT, SIGHUP and the death of the deepspeed launcher into a flag that the loop reads.

    A preempted machine sends SIGTERM; the `deepspeed` command does not pass that on and merely dies, so its
    process is watched too. A terminal that closes sends SIGHUP, which `nohup` has ignored. Must be made on the
    main thread.
    """

    def __init__(self) -> None:
        self._reason: signal.Signals | None = None
        self._runner = _runner_process()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def reason(self) -> signal.Signals | None:
        """The signal that asks the run to stop, or None; SIGHUP also when the deepspeed command has ended."""
        if self._reason is None and self._runner is not None and not self._runner.is_running():
            self._reason = signal.SIGHUP
        return self._reason

    def _on_signal(self, number: int, frame: object) -> None:
        self._reason = signal.Signals(number)


def _runner_process() -> psutil.Process | None:
    """The `deepspeed` command above this rank's launcher; None under another launcher."""
    try:
        launcher = psutil.Process(os.getppid())
        if "deepspeed.launcher.launch" not in launcher.cmdline():
            return None
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        runner = launcher.parent()
        return runner if runner and "deepspeed" in " ".join(runner.cmdline()) else None
    except psutil.Error:
        return None
