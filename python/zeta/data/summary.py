"""What a run tells the person who started it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from zeta.data.documents import Skipped
from zeta.data.manifest import Manifest
from zeta.data.progress import duration


@dataclass(frozen=True)
class Summary:
    """The outcome of ``prepare``. This run made ``new_tokens`` in ``seconds``; the rest were there."""

    uri: str
    manifest: Manifest
    new_tokens: int = 0
    seconds: float = 0.0
    nothing_to_do: bool = False

    def __str__(self) -> str:
        manifest = self.manifest
        if self.nothing_to_do:
            return f"{self.uri} is complete and its inputs and options are the same: nothing to do"
        splits = ", ".join(f"{split} {count:,}" for split, count in manifest.tokens.items())
        rows = sum(shard.rows for shard in manifest.shards)
        rate = self.new_tokens / self.seconds if self.seconds else 0
        return (
            f"documents  {rows:,} in {len(manifest.shards)} shards\n"
            f"tokens     {sum(manifest.tokens.values()):,} ({splits}), vocabulary {manifest.vocab_size:,}\n"
            f"tokenised  {self.new_tokens:,} in {duration(self.seconds)}, {rate:,.0f} tokens/s\n"
            f"skipped    {_count_reasons(manifest.skipped)}\n"
            f"output     {self.uri}"
        )


def _count_reasons(skipped: Sequence[Skipped]) -> str:
    reasons = Counter(item.reason.partition(" (")[0] for item in skipped)
    named = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return f"{len(skipped)} ({named})" if skipped else "0"
