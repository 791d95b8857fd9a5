"""The loss curve, as a picture and as one line for the terminal."""

import json
from pathlib import Path

BARS = "▁▂▃▄▅▆▇█"


def read_metric(metrics: Path, key: str) -> tuple[list[int], list[float]]:
    """The steps and values at which a run's metrics.jsonl says `key`."""
    steps, values = [], []
    for line in metrics.read_text().splitlines():
        entry = json.loads(line)
        if entry.get(key) is not None:
            steps.append(int(entry["step"]))
            values.append(float(entry[key]))
    return steps, values


def sparkline(values: list[float], width: int = 60) -> str:
    """`values` averaged into at most `width` bars, the lowest value the lowest bar."""
    if not values:
        return ""
    width = min(width, len(values))
    edges = [round(i * len(values) / width) for i in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in zip(edges, edges[1:], strict=False)]
    low, span = min(means), max(means) - min(means) or 1.0
    return "".join(BARS[round((mean - low) / span * (len(BARS) - 1))] for mean in means)


def draw(metrics: Path, picture: Path) -> None:
    """Write training and validation loss over steps to `picture`, a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    axes.plot(*read_metric(metrics, "loss"), label="training", linewidth=1)
    axes.plot(
        *read_metric(metrics, "validation_loss"),
        label="validation (unseen packages)",
        marker="o",
        markersize=3,
    )
    axes.set(xlabel="step", ylabel="cross entropy, nats per token")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(picture, dpi=120)
    pyplot.close(figure)
