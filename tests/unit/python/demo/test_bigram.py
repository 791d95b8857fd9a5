"""The bigram model, on words few enough to count by hand."""

import numpy as np
import pytest

from bigram import bigram_perplexity

WORDS = 3
# Pairs: 0 1 twice, 1 0, 1 2 and 2 0 once each, so D = 3 / (3 + 2·1) = 0.6; 4 kinds, of which 2 end in 0.
TRAIN = np.array([0, 1, 0, 1, 2, 0], dtype=np.int32)


def probability(train: np.ndarray, before: int, after: int) -> float:
    return 1 / bigram_perplexity(train, np.array([[before, after]], dtype=np.int32), WORDS)


def test_hand_computed() -> None:
    unigram = [0.99 * kinds / 4 + 0.01 / 3 for kinds in (2, 1, 1)]
    assert probability(TRAIN, 0, 1) == pytest.approx((2 - 0.6) / 2 + 0.6 * 1 / 2 * unigram[1])
    assert probability(TRAIN, 0, 2) == pytest.approx(0.6 * 1 / 2 * unigram[2])
    assert probability(TRAIN, 1, 0) == pytest.approx((1 - 0.6) / 2 + 0.6 * 2 / 2 * unigram[0])
    both = np.array([[0, 1], [0, 2]], dtype=np.int32)
    expected = (probability(TRAIN, 0, 1) * probability(TRAIN, 0, 2)) ** -0.5
    assert bigram_perplexity(TRAIN, both, WORDS) == pytest.approx(expected)


def test_the_first_token_of_a_block_is_only_given() -> None:
    block = np.array([[0, 1, 2]], dtype=np.int32)
    pairs = np.array([[0, 1], [1, 2]], dtype=np.int32)
    assert bigram_perplexity(TRAIN, block, WORDS) == pytest.approx(bigram_perplexity(TRAIN, pairs, WORDS))


@pytest.mark.parametrize(
    "train",
    [TRAIN, np.array([0, 1, 0, 1]), np.array([0, 0]), np.array([0, 1, 0, 1, 0])],
    ids=["usual", "a word unseen", "one pair", "no pair seen once"],
)
def test_probabilities_are_positive_and_sum_to_one(train: np.ndarray) -> None:
    for before in range(WORDS):
        all_words = [probability(train, before, after) for after in range(WORDS)]
        assert sum(all_words) == pytest.approx(1) and min(all_words) > 0
