"""Which documents are trained on, and which are kept for validation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from zeta.data.documents import Document
from zeta.data.errors import DataError

SPLITS = ("train", "validation")


def split_by_hash(documents: Sequence[Document], fraction: float, seed: int) -> dict[str, list[Document]]:
    """Send about ``fraction`` of the documents to validation, chosen by a hash of seed and content.

    A document's side does not depend on the other documents, on its name or on their order, and equal
    documents land on one side. The one exception: where the hash picks none of several, the lowest hash
    goes to validation.

    Args:
        fraction: in [0, 1).

    Raises:
        DataError: nothing is left to train on.
    """
    ranks = {document.sha256: _rank(document.sha256, seed) for document in documents}
    limit = int(fraction * 2**64)
    if fraction > 0 and len(ranks) > 1:
        limit = max(limit, min(ranks.values()) + 1)
    held_out = [document for document in documents if ranks[document.sha256] < limit]
    train = [document for document in documents if ranks[document.sha256] >= limit]
    return _checked(train, held_out)


def split_by_input(train: Sequence[Document], validation: Sequence[Document]) -> dict[str, list[Document]]:
    """Hold out what was given for validation: a document with the same content is not trained on.

    Raises:
        DataError: nothing is left to train on.
    """
    held_out = {document.sha256 for document in validation}
    return _checked([document for document in train if document.sha256 not in held_out], list(validation))


def _checked(train: list[Document], validation: list[Document]) -> dict[str, list[Document]]:
    if not train:
        raise DataError(
            f"no document is left to train on ({len(validation)} held out): give more input or hold out less"
        )
    return {"train": train, "validation": validation}


def _rank(sha256: str, seed: int) -> int:
    """Uniform in [0, 2⁶⁴)."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{sha256}".encode()).digest()[:8], "big")
