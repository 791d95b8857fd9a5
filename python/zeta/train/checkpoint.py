"""Checkpoints that are whole or absent: written aside, synced, renamed."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deepspeed
import torch
from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine
from deepspeed.runtime.fp16.loss_scaler import DynamicLossScaler, LossScaler
from deepspeed.runtime.zero.config import ZeroStageEnum
from torch.serialization import safe_globals

from zeta.durable import replace_text, sync, sync_tree
from zeta.train.errors import RankError, TrainError
from zeta.train.latest import latest_checkpoint, whole_checkpoints
from zeta.train.ranks import Ranks

_STATE = "zeta"
_CLASSES = (DynamicLossScaler, LossScaler, ZeroStageEnum)  # What DeepSpeed pickles beside plain data.


def _member(kind: type, name: str) -> ZeroStageEnum:
    """Stands for the call of getattr by which Python before 3.11.4, Debian 12's too, pickles a member."""
    if kind is not ZeroStageEnum:
        raise pickle.UnpicklingError(f"getattr of {kind}")
    return ZeroStageEnum[name]


SAFE = (*_CLASSES, (_member, "builtins.getattr"), (_member, "__builtin__.getattr"))
"""All that a checkpoint may name."""


class Checkpoints:
    """The folder `RUN/checkpoints` of one run.

    A checkpoint is DeepSpeed's own layout in `step-NNNNNN/`; `latest` names the newest. A process killed at
    any moment leaves at worst a `*.tmp` folder, which the next run removes. `save` and `load` are collective.
    """

    def __init__(self, folder: Path, ranks: Ranks, keep: int) -> None:
        self._folder, self._ranks, self._keep = folder, ranks, keep
        with ranks.together():
            if ranks.is_main:
                self._prepare_folder()

    def latest(self) -> Path | None:
        """The last whole checkpoint, if there is one."""
        return latest_checkpoint(self._folder)

    def save(
        self,
        engine: deepspeed.DeepSpeedEngine,
        step: int,
        state: dict[str, Any],
        describe: Callable[[Path], None],
    ) -> Path:
        """Writes `step-NNNNNN`, makes it `latest`, and removes all but the newest ones.

        Args:
            state: this rank's own state, picklable; `load` returns it.
            describe: called on rank 0 with the folder, to add what is not DeepSpeed's.

        Raises:
            TrainError: on every rank, if any could not write; its files are removed, older checkpoints stay.
        """
        final = self._folder / f"step-{step:06}"
        temporary = final.with_name(final.name + ".tmp")
        writer = _FileEngine()
        engine.checkpoint_engine = writer
        engine._copy_recovery_script = _copy_nothing
        try:
            with self._ranks.together():
                if self._ranks.is_main:
                    _remove(temporary)
                    temporary.mkdir()
            engine.save_checkpoint(
                str(self._folder), tag=temporary.name, client_state={_STATE: state}, save_latest=False
            )
            with self._ranks.together():
                writer.raise_error()
                if self._ranks.is_main:
                    describe(temporary)
                    sync_tree(temporary)
            with self._ranks.together():
                if self._ranks.is_main:
                    self._publish(temporary, final)
        except TrainError as error:
            with self._ranks.together():
                if self._ranks.is_main:
                    _remove(temporary)
            raise TrainError(f"could not save {final}: {error}") from error
        return final

    def last_good(self) -> str:
        """A phrase that names the checkpoint to go back to."""
        latest = self.latest()
        return f"the last good checkpoint is {latest}" if latest else "there is no checkpoint yet"

    def load(self, engine: deepspeed.DeepSpeedEngine, checkpoint: Path) -> dict[str, Any]:
        """Restores weights, optimizer and counters; returns this rank's `state`.

        Raises:
            TrainError: not a checkpoint of ours, not readable, or with a file that names code to run.
        """
        engine.checkpoint_engine = _FileEngine()
        # DeepSpeed reads parts of a universal checkpoint past its engine, with weights_only=False.
        os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
        try:
            with safe_globals(list(SAFE)):
                path, client_state = engine.load_checkpoint(str(self._folder), tag=checkpoint.name)
        except pickle.UnpicklingError as error:
            raise RankError(
                f"cannot resume, {checkpoint} names code that no checkpoint needs; refused"
            ) from error
        except (AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise RankError(
                f"cannot resume from {checkpoint}: a file is missing or foreign: {error}"
            ) from error
        if path is None or _STATE not in client_state:
            raise TrainError(f"cannot resume from {checkpoint}: it is not a checkpoint of zeta.train")
        return client_state[_STATE]

    def _prepare_folder(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._folder.glob("*.tmp"):
            _remove(leftover)

    def _publish(self, temporary: Path, final: Path) -> None:
        _retire(final)
        temporary.rename(final)
        sync(self._folder)
        replace_text(self._folder / "latest", final.name + "\n")
        for old in whole_checkpoints(self._folder)[: -self._keep]:
            _retire(old)


class _FileEngine(TorchCheckpointEngine):
    """How DeepSpeed reads and writes its files: through to the disk, without running code that a file names,
    and with errors of ours.

    DeepSpeed passes barriers between the files it writes, so a rank that raised would leave the others waiting
    there: `save` keeps the first error for `raise_error`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._error: Exception | None = None

    def save(self, state_dict: dict[str, Any], path: str) -> None:
        if self._error is not None:
            return
        try:
            with open(path, "wb") as file:
                torch.save(state_dict, file)
            sync(Path(path))
        except (OSError, RuntimeError) as error:
            self._error = error

    def load(self, path: str, map_location: Any = None) -> Any:
        try:
            return torch.load(path, map_location=map_location, weights_only=True)
        except pickle.UnpicklingError as error:
            raise RankError(f"cannot resume, {path} names code that no checkpoint needs; refused") from error
        except Exception as error:  # torch.load raises whatever foreign bytes lead it to
            reason = str(error).partition("\n")[0].partition(". ")[0] or "the file is empty"
            raise RankError(f"cannot resume, {path} is not readable: {reason}") from error

    def raise_error(self) -> None:
        """Raises the error that `save` met, if any, as a TrainError."""
        if self._error is not None:
            raise TrainError(_root_cause(self._error)) from self._error


def _root_cause(error: BaseException) -> str:
    """What the system said, also where torch reports a failed write as an error of its own."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
        link = link.__cause__ or link.__context__
    return str(error).splitlines()[0]


def _copy_nothing(folder: str) -> None:
    """In place of DeepSpeed's copy of a script: rank 0 alone would fail in it while the others wait."""


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _retire(checkpoint: Path) -> None:
    """Removes a checkpoint under a temporary name: a kill in between leaves nothing that looks whole."""
    if checkpoint.is_dir():
        aside = checkpoint.with_name(checkpoint.name + ".old.tmp")
        checkpoint.rename(aside)
        shutil.rmtree(aside)
