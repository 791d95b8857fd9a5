"""When training ends, and the learning rate on the way there."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What ends a run: the first of a number of steps and a number of seconds; None means no limit."""

    steps: int | None
    seconds: float | None

    def progress(self, step: int, seconds: float) -> float:
        """The part of the run that is done, 0 to 1, after `step` steps and `seconds` of training."""
        by_step = step / self.steps if self.steps is not None else 0.0
        by_time = seconds / self.seconds if self.seconds is not None else 0.0
        return min(1.0, max(by_step, by_time))


@dataclass(frozen=True)
class CosineSchedule:
    """A linear warm-up over `warmup_steps`, times half a cosine over the run down to `min_ratio` of `peak`.

    The cosine follows `Limits.progress`, so that a run bounded by time cools down like one bounded by steps.

    References:
        Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, 2017.
    """

    peak: float
    warmup_steps: int
    min_ratio: float

    def learning_rate(self, step: int, progress: float) -> float:
        """The rate of the step that follows `step` finished ones."""
        warmup = min(1.0, (step + 1) / (self.warmup_steps + 1))
        cosine = 0.5 * (1.0 + math.cos(math.pi * progress))
        return self.peak * warmup * (self.min_ratio + (1.0 - self.min_ratio) * cosine)
