"""GGUF files, llama.cpp's: writing a checkpoint as one, and reading one into a Hugging Face folder.

docs/formats.md says which types, architectures and tokenizers go each way.
"""

from zeta.export.gguf.load import import_gguf
from zeta.export.gguf.save import export_gguf

__all__ = ["export_gguf", "import_gguf"]
