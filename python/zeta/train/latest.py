"""Which checkpoint of a run is the last whole one."""

import re
from pathlib import Path

_NAME = re.compile(r"step-\d{6,}")


def whole_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints `step-NNNNNN` of `RUN/checkpoints`, oldest first; half-written ones have other names."""
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def latest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint that `latest` names, or, if it names none, the newest: a kill comes before the file."""
    marker = folder / "latest"
    if marker.is_file():
        name = marker.read_text(encoding="utf-8", errors="replace").strip()
        if _NAME.fullmatch(name) and (folder / name).is_dir():
            return folder / name
    whole = whole_checkpoints(folder)
    return whole[-1] if whole else None
