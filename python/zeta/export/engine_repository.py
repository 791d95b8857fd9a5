"""A language model as a model of zeta-server's repository, answered by the engine."""

from __future__ import annotations

import os
from pathlib import Path

from zeta.export.errors import ExportError
from zeta.export.folder import check_replaceable, new_folder
from zeta.export.pipeline import DEFAULT_SHARD_SIZE, export
from zeta.export.report import ExportReport

_MARKER = "1/config.json"


def export_engine_repository(
    checkpoint: str | os.PathLike[str], out: str | os.PathLike[str], precision: str | None = None, *,
    group_size: int | None = None, dtype: str | None = None, max_shard_size: int = DEFAULT_SHARD_SIZE,
    overwrite: bool = False,
) -> ExportReport:  # fmt: skip
    """Write OUT/config.pbtxt and, as OUT/1, the folder that `export` makes of the checkpoint.

    Arguments, result and failures are those of `export`; OUT may be replaced if it is such a folder.
    """
    out = Path(os.path.abspath(out))
    if Path(checkpoint).resolve().is_relative_to(out.resolve()):
        raise ExportError(f"{out}: holds the checkpoint itself; choose another place")
    check_replaceable(out, overwrite, _MARKER)
    with new_folder(out, overwrite, _MARKER) as folder:
        report = export(
            checkpoint, folder / "1", precision,
            group_size=group_size, dtype=dtype, max_shard_size=max_shard_size,
        )  # fmt: skip
        (folder / "config.pbtxt").write_text(f'name: "{out.name}"\nbackend: "zeta"\n')
    report.out = out
    return report
