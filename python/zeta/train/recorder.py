"""Where a step's metrics go: the screen, `metrics.jsonl`, MLflow. Rank 0 has one; the others stay silent."""

from pathlib import Path
from typing import Any

from zeta.train.metrics import MetricsFile
from zeta.train.progress import Progress
from zeta.train.tracking import MlflowTracker


class Recorder:
    """Passes records on; each is a flat dictionary of numbers with a `step`.

    Raises:
        TrainError: `metrics.jsonl` cannot be read or written, here and in `keep`.
    """

    def __init__(self, output: Path, step: int, params: dict[str, Any], progress: Progress) -> None:
        self._file = MetricsFile(output / "metrics.jsonl", step)
        self._tracker = MlflowTracker(output.name, params)
        self.progress = progress

    def show(self, record: dict[str, float]) -> None:
        """Shows a step on the screen."""
        step = int(record["step"])
        self.progress.update(
            step, record["seconds"], record["loss"], record["lr"], record["tokens_per_second"]
        )
        if "validation_loss" in record:
            self.progress.note(
                f"step {step}: validation loss {record['validation_loss']:.4f}, "
                f"perplexity {record['perplexity']:.2f}"
            )

    def keep(self, record: dict[str, float]) -> None:
        """Writes a step's record to the file and to MLflow."""
        self._file.write(record)
        self._tracker.log(int(record["step"]), {key: value for key, value in record.items() if key != "step"})

    def close(self, status: str) -> None:
        """`status` is MLflow's: FINISHED, KILLED or FAILED."""
        self.progress.close()
        self._file.close()
        self._tracker.close(status)
