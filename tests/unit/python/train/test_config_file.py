"""What is wrong with DeepSpeed's file before DeepSpeed sees it."""

from pathlib import Path

import pytest

from zeta.train import TrainError
from zeta.train.config_file import read_config


def read(folder: Path, text: str) -> dict[str, object]:
    path = folder / "ds.json"
    path.write_text(text)
    return read_config(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON: .*line 1"),
        ("[]", "expected a JSON object, got list"),
        ('{"optimizer": 3}', "optimizer must be a JSON object, got 3"),
        ('{"optimizer": {"params": 3}}', "optimizer.params must be a JSON object, got 3"),
        ('{"scheduler": {"params": []}}', r"scheduler.params must be a JSON object, got \[\]"),
        ('{"bf16": true}', "bf16 must be a JSON object, got True"),
        ('{"bf16": {"enabled": "yes"}}', "bf16.enabled must be true or false, got 'yes'"),
        ('{"fp16": {"enabled": 1}}', "fp16.enabled must be true or false, got 1"),
        ('{"train_batch_size": "auto"}', "train_batch_size must be an integer ≥ 1, got 'auto'"),
        ('{"train_micro_batch_size_per_gpu": 1.5}', "per_gpu must be an integer ≥ 1, got 1.5"),
        ('{"gradient_accumulation_steps": 0}', "gradient_accumulation_steps must be an integer ≥ 1, got 0"),
        ('{"gradient_clipping": "x"}', "gradient_clipping must be a number ≥ 0, got 'x'"),
        ('{"gradient_clipping": -1}', "gradient_clipping must be a number ≥ 0, got -1"),
        ('{"gradient_clipping": NaN}', "gradient_clipping must be a number ≥ 0, got nan"),
    ],
)
def test_names_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TrainError, match=f"--config {tmp_path}/ds.json: .*{message}"):
        read(tmp_path, text)


def test_names_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=f"{tmp_path}/ds.json: No such file"):
        read_config(tmp_path / "ds.json")
    with pytest.raises(TrainError, match=f"{tmp_path}: Is a directory"):
        read_config(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\x00")
    with pytest.raises(TrainError, match="binary: not valid JSON: .*utf-8"):
        read_config(tmp_path / "binary")


def test_a_file_without_mistakes_is_read_as_it_is(tmp_path: Path) -> None:
    text = '{"train_batch_size": 8, "train_micro_batch_size_per_gpu": null, "bf16": {"enabled": false}}'
    expected = {"train_batch_size": 8, "train_micro_batch_size_per_gpu": None, "bf16": {"enabled": False}}
    assert read(tmp_path, text) == expected
