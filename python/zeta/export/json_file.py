"""JSON objects that others wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zeta.export.errors import ExportError


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ExportError: no such file, unreadable, not JSON (a truncated file is none), or not an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ExportError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ExportError(f"{path}: not valid JSON, truncated or foreign: {error}") from error
    if not isinstance(content, dict):
        raise ExportError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content
