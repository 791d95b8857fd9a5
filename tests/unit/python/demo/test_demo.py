"""What the demo removes, and when it takes training for finished."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

DEMO = Path(__file__).resolve().parents[4] / "examples" / "demo"
EVALUATED = '{"step": 10, "loss": 2.0}\n{"step": 20, "loss": 1.0, "validation_loss": 1.5}\n'
CUT_SHORT = EVALUATED + '{"step": 30, "loss": 0.5}\n'
NEVER_EVALUATED = '{"step": 10, "loss": 2.0}\n'


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", DEMO / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_fresh_removes_only_what_the_demo_made(
    demo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    place = tmp_path / "place"
    (place / "run" / "checkpoints").mkdir(parents=True)
    (place / "letters").mkdir()
    (place / "data").symlink_to(precious)
    for name in ("loss.png", "run/metrics.jsonl", "letters/first.txt"):
        (place / name).touch()
    monkeypatch.setattr(demo, "prepare", lambda place: sys.exit("prepared"))
    monkeypatch.setattr(sys, "argv", ["demo", "--fresh", "--place", str(place)])
    with pytest.raises(SystemExit, match="prepared"):
        demo.main()
    assert [path.name for path in place.iterdir()] == ["letters"]
    assert (place / "letters" / "first.txt").exists() and precious.is_dir()


def test_every_result_is_known(demo: ModuleType) -> None:
    """A new step's result must be removed by --fresh too."""
    source = (DEMO / "__main__.py").read_text()
    for name in demo.RESULTS:
        assert f'place / "{name}"' in source
    assert source.count('place / "') == len(demo.RESULTS)


@pytest.mark.parametrize(
    ("metrics", "code", "said"),
    [
        (EVALUATED, 0, None),
        (EVALUATED, 143, "failed with exit code 143"),
        (CUT_SHORT, 0, "does not end with a validation loss: training was cut short"),
        (NEVER_EVALUATED, 0, "does not end with a validation loss: training was cut short"),
    ],
    ids=["finished", "stopped by SIGTERM", "cut short", "never evaluated"],
)
def test_training_is_finished_only_on_success(
    demo: ModuleType, metrics: str, code: int, said: str | None, tmp_path: Path, monkeypatch
) -> None:
    output = tmp_path / "run"
    output.mkdir()
    (output / "metrics.jsonl").write_text(metrics)
    (tmp_path / "deepspeed").write_text(f"#!/bin/sh\nexit {code}\n")
    (tmp_path / "deepspeed").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    if said is None:
        assert demo.train(tmp_path, tmp_path / "data", 1) == output
    else:
        with pytest.raises(SystemExit, match=said):
            demo.train(tmp_path, tmp_path / "data", 1)
    assert (output / "finished").exists() == (said is None)
