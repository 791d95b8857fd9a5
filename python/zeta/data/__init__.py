"""From text to token shards, and from token shards to training blocks.

``python -m zeta.data prepare`` (or :func:`zeta.data.prepare.prepare`) reads text and code files with Ray
Data and writes Parquet token shards with a manifest; :class:`TokenShards` reads them back for training. The
format is in ``docs/design/foundation.md``, section "Token shards".

Importing this package imports neither Ray nor a tokenizer.
"""

from zeta.data.errors import DataError
from zeta.data.token_shards import TokenShards

__all__ = ["DataError", "TokenShards"]
