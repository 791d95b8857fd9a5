"""Export: from a training checkpoint to a Hugging Face folder with packed weights.

`python -m zeta.export CHECKPOINT OUT` does it by command, and also writes and reads GGUF files; docs/formats.md
says what they hold and who reads them. `export_engine_repository` and `export_repository` (--format zeta,
torchscript, aoti) write models of a repository.
"""

from zeta.export.engine_repository import export_engine_repository
from zeta.export.errors import ExportError
from zeta.export.gguf import export_gguf, import_gguf
from zeta.export.module import export_quantized
from zeta.export.pipeline import export
from zeta.export.report import ExportReport
from zeta.export.repository import export_repository

__all__ = [
    "ExportError",
    "ExportReport",
    "export",
    "export_engine_repository",
    "export_gguf",
    "export_quantized",
    "export_repository",
    "import_gguf",
]
