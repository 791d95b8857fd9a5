"""What a mistyped name was perhaps meant to be."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean NAME?` with the most similar of `known`, or an empty text if none is similar."""
    match = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {match[0]}?" if match else ""
