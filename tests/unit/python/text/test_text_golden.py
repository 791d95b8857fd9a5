"""The committed golden data is what today's tokenizers and transformers give."""

import subprocess
import sys
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[3] / "golden"


def files(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text("utf-8") for p in folder.rglob("*") if p.is_file()}


def test_golden_data_comes_out_the_same_again(tmp_path: Path) -> None:
    subprocess.run([sys.executable, GOLDEN / "make_text.py", tmp_path], check=True, timeout=600)
    committed = files(GOLDEN / "text")
    inputs = {"corpus.txt", "conversations.json"}
    made = files(tmp_path)
    assert made.keys() == committed.keys() - inputs
    assert {name for name in made if made[name] != committed[name]} == set()
