import itertools

import pytest

from zeta.train.schedule import CosineSchedule, Limits


def test_warm_up_rises_by_equal_steps_to_the_peak() -> None:
    schedule = CosineSchedule(peak=1.0, warmup_steps=4, min_ratio=0.0)
    assert [schedule.learning_rate(step, 0.0) for step in range(6)] == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]
    )


def test_cosine_falls_from_the_peak_to_the_floor() -> None:
    schedule = CosineSchedule(peak=2.0, warmup_steps=0, min_ratio=0.1)
    rates = [schedule.learning_rate(10, progress / 100) for progress in range(101)]
    assert rates[0] == pytest.approx(2.0)
    assert rates[50] == pytest.approx(1.1)  # Half of the way between 2.0 and 0.2.
    assert rates[100] == pytest.approx(0.2)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates))


@pytest.mark.parametrize(
    ("limits", "step", "seconds", "progress"),
    [
        (Limits(100, None), 25, 1e9, 0.25),
        (Limits(None, 60.0), 10**6, 30.0, 0.5),
        (Limits(100, 60.0), 25, 30.0, 0.5),
        (Limits(100, 60.0), 75, 30.0, 0.75),
        (Limits(100, 60.0), 25, 90.0, 1.0),
    ],
)
def test_the_nearest_limit_decides(limits: Limits, step: int, seconds: float, progress: float) -> None:
    assert limits.progress(step, seconds) == progress
