"""The training loop: steps, and what happens between them."""

import math
import signal
import time
from collections.abc import Callable

import deepspeed
import torch

from zeta.train.errors import TrainError
from zeta.train.evaluate import Evaluator, perplexity
from zeta.train.feed import Feed
from zeta.train.memory import peak_memory_bytes
from zeta.train.objective import next_token_loss
from zeta.train.plan import Plan
from zeta.train.ranks import Ranks
from zeta.train.recorder import Recorder
from zeta.train.state import Counters
from zeta.train.stop import StopRequest
from zeta.train.throughput import Throughput


class Loop:
    """Trains `engine` until a limit, a stop request, or a loss that is not a number.

    Args:
        recorder: rank 0's; None elsewhere.
        save: writes a checkpoint of the present state.
    """

    def __init__(
        self,
        engine: deepspeed.DeepSpeedEngine,
        feed: Feed,
        evaluator: Evaluator,
        plan: Plan,
        counters: Counters,
        ranks: Ranks,
        recorder: Recorder | None,
        save: Callable[[], None],
    ) -> None:
        self._engine, self._feed, self._evaluator, self._plan = engine, feed, evaluator, plan
        self._counters, self._ranks, self._recorder, self._save = counters, ranks, recorder, save
        self._stop = StopRequest()
        self._throughput = Throughput()
        self._begin = time.monotonic() - counters.seconds

    def run(self) -> signal.Signals | None:
        """Returns None at a limit, or what stopped it before; the last state is saved either way.

        A step that a stop kept from being evaluated and logged is so first, when the run goes on.

        Raises:
            TrainError: the loss is not finite, and nothing of it is saved; a shard could not be read; or a
                checkpoint or the metrics could not be written.
        """
        counters = self._counters
        stopped = counters.unlogged is not None and self._observe(counters.unlogged)
        while not stopped and self._progress() < 1.0:
            counters.unlogged, stopped = self._step()
            stopped = stopped or self._observe(counters.unlogged)
            if stopped or self._progress() >= 1.0 or self._due(self._plan.save_every):
                self._save()
        return self._stop_reason() if stopped else None

    def _step(self) -> tuple[dict[str, float], bool]:
        """One optimizer step; returns its metrics, and whether any rank was asked to stop."""
        self._throughput.begin_step()
        self._set_learning_rate()
        loss, stops = self._share(self._accumulate())
        tokens = self._engine.train_batch_size() * self._feed.seq_len
        self._throughput.end_step(tokens)
        counters = self._counters
        counters.step += 1
        counters.tokens += tokens
        record = {
            "step": counters.step,
            "epoch": self._feed.position.epoch,
            "tokens": counters.tokens,
            "seconds": round(counters.seconds, 3),
            "loss": loss,
            "lr": self._engine.get_lr()[0],
            "grad_norm": float(self._engine.get_global_grad_norm() or 0.0),
            "tokens_per_second": self._throughput.rate(),
            "peak_memory_bytes": peak_memory_bytes(),
        }
        self._check_finite(record)
        return record, stops > 0

    def _accumulate(self) -> float:
        """Forward and backward over the micro-batches, then the optimizer; returns this rank's mean loss."""
        steps = self._engine.gradient_accumulation_steps()
        total = torch.zeros((), device=self._ranks.device)
        for _ in range(steps):
            loss = next_token_loss(self._engine, self._feed.next_batch())
            self._engine.backward(loss)
            self._engine.step()
            total += loss.detach()
        return total.item() / steps

    def _share(self, loss: float) -> tuple[float, float]:
        """Averages the loss, counts the ranks asked to stop, sets every clock to rank 0's: one message."""
        seconds = time.monotonic() - self._begin if self._ranks.is_main else 0.0
        total, stops, self._counters.seconds = self._ranks.sum([loss, float(self._asked_to_stop()), seconds])
        return total / self._ranks.world_size, stops

    def _observe(self, record: dict[str, float]) -> bool:
        """Evaluates, shows and logs what is due; returns whether a stop request cut the evaluation short."""
        evaluates = self._progress() >= 1.0 or self._due(self._plan.eval_every)
        if evaluates:
            loss = self._evaluator.loss(self._engine, self._asked_to_stop)
            if loss is None:
                return True
            record |= {"validation_loss": loss, "perplexity": perplexity(loss)}
        logs = evaluates or self._due(self._plan.log_every)
        if self._recorder is not None:
            self._recorder.show(record)
        if logs:
            with self._ranks.together():
                if self._recorder is not None:
                    self._recorder.keep(record)
            self._throughput.reset()
        self._counters.unlogged = None
        return False

    def _check_finite(self, record: dict[str, float]) -> None:
        # fp16's loss scaling provokes infinite gradients and skips their steps.
        keys = ("loss",) if self._engine.fp16_enabled() else ("loss", "grad_norm")
        bad = next((key for key in keys if not math.isfinite(record[key])), None)
        if bad is not None:
            raise TrainError(
                f"{bad} is {record[bad]} at step {record['step']}: training diverged; lower --lr "
                f"(now {record['lr']:.2e}) or raise --warmup-steps"
            )

    def _set_learning_rate(self) -> None:
        if self._plan.schedule is not None:
            rate = self._plan.schedule.learning_rate(self._counters.step, self._progress())
            for group in self._engine.optimizer.param_groups:
                group["lr"] = rate

    def _progress(self) -> float:
        return self._plan.limits.progress(self._counters.step, self._counters.seconds)

    def _due(self, every: int) -> bool:
        return every > 0 and self._counters.step % every == 0

    def _asked_to_stop(self) -> bool:
        return self._stop.reason() is not None

    def _stop_reason(self) -> signal.Signals:
        reasons = self._ranks.gather(self._stop.reason())
        return next(reason for reason in reasons if reason is not None)
