"""Attention with all options by the plain formula in float64, for tests: docs/design/attention.md word for word."""

import numpy
import torch

FAST = "cuda" if torch.cuda.is_available() else "cpu"  # float64 is float64


def philox(counter, key):
    """Philox4x32-10 of arrays of four counter words and two key words, as the paper's reference has it."""
    c = [numpy.asarray(word, dtype=numpy.uint64) for word in numpy.broadcast_arrays(*counter)]
    low, word = (numpy.uint64(0xFFFFFFFF), numpy.uint64(32))
    k = [numpy.uint64(key[0]), numpy.uint64(key[1])]
    for _ in range(10):
        a, b = c[0] * numpy.uint64(0xD2511F53), c[2] * numpy.uint64(0xCD9E8D57)
        c = [(b >> word) ^ c[1] ^ k[0], b & low, (a >> word) ^ c[3] ^ k[1], a & low]
        k = [(k[0] + numpy.uint64(0x9E3779B9)) & low, (k[1] + numpy.uint64(0xBB67AE85)) & low]
    return c


def dropout_factors(rng_state, p, batch, heads, seq_q, seq_k):
    """(batch, heads, seq_q, seq_k): 0 where dropped, 1 / P(keep) where kept."""
    seed, offset = (int(word) & (2**64 - 1) for word in rng_state)
    b, h, i, j = numpy.ogrid[:batch, :heads, :seq_q, :seq_k]
    words = philox(
        (j // 8, i, b * heads + h, offset & 0xFFFFFFFF), (seed & 0xFFFFFFFF, (seed >> 32) ^ (offset >> 32))
    )
    word = numpy.choose(j % 8 // 2, words)
    bits = (word >> (j % 2 * 16).astype(numpy.uint64)) & numpy.uint64(0xFFFF)
    threshold = min(round(65536 * p), 65535)
    return torch.from_numpy(numpy.where(bits >= threshold, 65536 / (65536 - threshold), 0.0))


def attention(
    q, k, v, *, mask=None, softmax_scale=None, causal=False, window=(-1, -1), softcap=0.0, bias=None,
    alibi_slopes=None, sinks=None, dropout_p=0.0, rng_state=None, deterministic=False,
):  # fmt: skip
    """Returns out, lse and the probabilities before dropout, in float64 and on the CPU, differentiable."""
    group = q.shape[2] // max(k.shape[2], 1)
    q, k, v = (t.to(FAST).double().transpose(1, 2) for t in (q, k, v))
    batch, heads, seq_q, seq_k = *q.shape[:3], k.shape[2]
    scale = q.shape[-1] ** -0.5 if softmax_scale is None else softmax_scale
    x = scale * (q @ k.repeat_interleave(group, 1).mT)
    if softcap:
        x = softcap * torch.tanh(x / softcap)
    if bias is not None:
        x = x + bias.to(FAST).double()
    distance = torch.arange(seq_k, device=FAST) - (torch.arange(seq_q, device=FAST)[:, None] + seq_k - seq_q)
    if alibi_slopes is not None:
        x = x - alibi_slopes.to(FAST).double()[..., None, None] * distance.abs()
    left, right = window
    allowed = torch.ones(seq_q, seq_k, dtype=torch.bool, device=FAST)
    for limit in (-distance <= left if left >= 0 else None, distance <= right if right >= 0 else None):
        allowed = allowed if limit is None else allowed & limit
    if causal:
        allowed = allowed & (distance <= 0)
    if mask is not None:
        allowed = allowed & mask.to(FAST)
    x = x.masked_fill(~allowed, -torch.inf)
    none = torch.full((heads,), -torch.inf, dtype=torch.float64, device=FAST)
    sink = none if sinks is None else sinks.to(FAST).double()
    x = torch.cat([x, sink.view(1, heads, 1, 1).expand(batch, -1, seq_q, 1)], -1)
    dead = (x == -torch.inf).all(-1, keepdim=True)
    lse = x.masked_fill(dead, 0).logsumexp(-1).masked_fill(dead[..., 0], -torch.inf)
    p = x.masked_fill(dead, 0).softmax(-1).masked_fill(dead, 0)[..., :-1]
    dropped = p
    if dropout_p:
        dropped = p * dropout_factors(rng_state, dropout_p, batch, heads, seq_q, seq_k).to(FAST)
    return (dropped @ v.repeat_interleave(group, 1)).transpose(1, 2).cpu(), lse.cpu(), p.cpu()
