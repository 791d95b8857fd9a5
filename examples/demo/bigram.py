"""The model to beat: what a table of token pairs knows about the same text."""

import numpy as np


def bigram_perplexity(train: np.ndarray, blocks: np.ndarray, vocab_size: int) -> float:
    """Perplexity of an interpolated Kneser-Ney bigram model with one discount.

    A strong model among those that count pairs, not the best: the modified kind, with three discounts, is
    better.

    Args:
        train: token ids the counts are taken from, shape (n,), documents one after another.
        blocks: token ids, shape (b, n), n >= 2; of each row all but the first are predicted.
        vocab_size: number of token ids.

    Returns:
        exp of the mean negative log likelihood of blocks[:, 1:] given the token before.

    References:
        Chen and Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling", 1999, 2.8.
    """
    pairs = train[:-1].astype(np.int64) * vocab_size + train[1:]
    kinds, counts = np.unique(pairs, return_counts=True)
    first, second = kinds // vocab_size, kinds % vocab_size

    once, twice = (counts == 1).sum(), (counts == 2).sum()
    discount = once / (once + 2 * twice) if once else 0.5

    context_count = np.bincount(first, weights=counts, minlength=vocab_size)
    followers = np.bincount(first, minlength=vocab_size)
    continuation = np.bincount(second, minlength=vocab_size) / len(kinds)
    # Tokens that never follow anything still need a share: mix in a little of the uniform distribution.
    unigram = 0.99 * continuation + 0.01 / vocab_size

    before, after = blocks[:, :-1].ravel().astype(np.int64), blocks[:, 1:].ravel().astype(np.int64)
    wanted = before * vocab_size + after
    position = np.minimum(np.searchsorted(kinds, wanted), len(kinds) - 1)
    count = np.where(kinds[position] == wanted, counts[position], 0)

    total = np.maximum(context_count[before], 1)
    back_off = np.where(context_count[before] > 0, discount * followers[before] / total, 1.0)
    probability = np.maximum(count - discount, 0) / total + back_off * unigram[after]
    return float(np.exp(-np.log(probability).mean()))
