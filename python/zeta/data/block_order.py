"""The order in which training visits blocks: a shuffle that every version of every library repeats."""

from __future__ import annotations

import hashlib

import numpy


def shuffled(count: int, seed: int, epoch: int) -> numpy.ndarray:
    """A permutation of ``range(count)`` as int64, decided by ``seed`` and ``epoch`` alone.

    Sorts the numbers by their SplitMix64 hash (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number
    generators") under a key made of seed and epoch. NumPy's own generators may change between versions.
    """
    key = int.from_bytes(hashlib.sha256(f"{seed}:{epoch}".encode()).digest()[:8], "big")
    return numpy.argsort(
        _split_mix(numpy.arange(count, dtype=numpy.uint64), numpy.uint64(key)), kind="stable"
    )


def _split_mix(index: numpy.ndarray, key: numpy.uint64) -> numpy.ndarray:
    z = (index + numpy.uint64(1)) * numpy.uint64(0x9E3779B97F4A7C15) + key
    z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    return z ^ (z >> numpy.uint64(31))
