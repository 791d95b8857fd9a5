"""`zeta.json` beside a checkpoint's weights: what was trained, and whether another run can go on from it."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import LlamaConfig

from zeta.train.errors import TrainError

_FIXED = ("precision", "group_size", "dtype", "seed", "seq_len", "world_size", "data")
_COSMETIC = {"_name_or_path", "architectures", "dtype", "transformers_version", "use_cache"}


@dataclass(frozen=True)
class RunManifest:
    """The facts of a checkpoint that its other files do not tell; `data` is the shards' fingerprint."""

    precision: str
    group_size: int
    use_flash_attn: bool
    dtype: str
    seed: int
    seq_len: int
    world_size: int
    data: str
    step: int
    tokens: int

    def write(self, folder: Path) -> None:
        text = json.dumps(dataclasses.asdict(self), indent=2) + "\n"
        (folder / "zeta.json").write_text(text, encoding="utf-8")


def check_resumable(checkpoint: Path, now: RunManifest, config: LlamaConfig, universal: bool) -> None:
    """Refuses to go on from a checkpoint whose weights, or place in the data, mean something else in this run.

    Args:
        universal: DeepSpeed loads a universal checkpoint, which fits any number of ranks.

    Raises:
        TrainError: names the first difference.
    """
    before = _read(checkpoint / "zeta.json")
    try:
        model = LlamaConfig.from_dict(_read(checkpoint / "config.json"))
    except (StrictDataclassError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise TrainError(f"cannot resume, {checkpoint / 'config.json'} is no Llama's: {reason}") from error
    for key in _FIXED:
        if key == "world_size" and universal:
            continue
        _check_same(checkpoint, key, before.get(key), getattr(now, key))
    shapes = model.to_dict(), config.to_dict()
    for key in sorted(shapes[1].keys() - _COSMETIC):
        _check_same(checkpoint, key, *(shape.get(key) for shape in shapes))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainError(f"cannot resume, {path}: {error.strerror}") from error
    except ValueError as error:
        raise TrainError(f"cannot resume, {path} is truncated or foreign: {error}") from error
    if not isinstance(content, dict):
        raise TrainError(f"cannot resume, {path} is foreign: expected a JSON object, got {content!r}")
    return content


def _check_same(checkpoint: Path, key: str, before: object, now: object) -> None:
    if before == now:
        return
    fix = "start this run as the last one"
    if key == "world_size":
        fix = "start as many ranks, or convert it with ds_to_universal.py and set checkpoint.load_universal"
    raise TrainError(
        f"cannot resume from {checkpoint}: it was trained with {key} {before}, now it is {now}: {fix}"
    )
