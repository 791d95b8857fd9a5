"""The decode kernel on a GPU: tiles, pages, shares of blocks and options; graphs; what lies outside the cache."""

import itertools

import pytest
import torch
from attention_formula import attention
from test_paged_attention import Cache, paged_op, side_by_side

from zeta.nn.functional import flash_attention, paged_attention

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that CUDA can use")

HALVES = [torch.bfloat16, torch.float16]
UNIT = torch.finfo(torch.float32).eps


def bound(dtype, dim, keys):
    """Σ p = 1 and |v| ≤ 1: p and out are rounded to dtype. Scores, below dim^½, are sums of dim products in fp32, and
    the sums over keys are in fp32."""
    return torch.finfo(dtype).eps + (2 * (dim + 3) * dim**0.5 + keys + 16) * UNIT


def runs_decode_kernel(run):
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run()
        torch.cuda.synchronize()
    return any("decode_kernel" in event.key for event in profile.key_averages())


def check(cache, q, out, lse, new=None, starts=None, **options):
    """Against the formula in float64, sequence by sequence."""
    rows = [slice(*pair) for pair in itertools.pairwise(starts)] if starts else range(len(cache.lengths))
    for b, mine in enumerate(rows):
        own = {"causal": True} | options
        if own.get("alibi_slopes") is not None and own["alibi_slopes"].dim() == 2:
            own["alibi_slopes"] = own["alibi_slopes"][b]
        keys, values = side_by_side(cache, b, *(t[mine] for t in new or ()))
        want, want_lse, _ = attention(q[mine][None], keys, values, **own)
        atol = bound(cache.dtype, q.shape[-1], keys.shape[1])
        torch.testing.assert_close(out[mine].cpu().double(), want[0], rtol=0, atol=atol)
        got = lse[:, mine] if starts else lse[mine]
        torch.testing.assert_close(got.cpu().double(), want_lse[0], rtol=1e-6, atol=atol)


SHAPES = {  # page size, dims, kv heads, group, queries
    "one row": (16, (128, 128), 2, 1, 1),
    "a tile": (64, (128, 128), 2, 16, 1),
    "two tiles, the second of one row": (16, (64, 64), 1, 17, 1),
    "tiles of several positions": (32, (128, 128), 3, 3, 7),
    "chunked prefill": (16, (64, 64), 1, 2, 90),
    "small dims": (16, (16, 24), 2, 4, 1),
    "zero filled dims": (128, (96, 80), 2, 4, 2),
    "wide": (16, (256, 256), 2, 4, 1),
    "wide values": (16, (64, 200), 1, 8, 1),
    "pages of one key": (1, (64, 64), 1, 4, 1),
    "pages of no whole tiles": (50, (128, 64), 2, 4, 3),
    "pages of three tiles": (48, (128, 128), 1, 8, 1),
}


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_sizes(shape, dtype):
    """Lengths without keys, in one tile, in one step, and cut among blocks."""
    page_size, dims, kv_heads, group, seq_q = shape
    cache = Cache([0, 5, 64, 1000, 4099], page_size, seq_q, dtype, "cuda", kv_heads, dims)
    q = cache.draw(5, seq_q, kv_heads * group, dims[0]).cuda()
    new = [cache.draw(5, seq_q, kv_heads, dim).cuda() for dim in dims]
    out, lse = paged_attention(q, *cache.arguments(), k=new[0], v=new[1], return_lse=True)
    check(cache, q, out, lse, new)
    again = paged_attention(q, *cache.arguments()[:3], cache.seq_lens + seq_q)
    assert torch.equal(again, out)  # the order of sums is fixed, and the cache has the new keys


def test_the_kernel_runs():
    cache = Cache([40, 400], 16, dtype=torch.bfloat16, device="cuda", dims=(64, 64))
    q = cache.draw(2, 1, 8, 64).cuda()
    assert runs_decode_kernel(lambda: paged_attention(q, *cache.arguments()))
    k = cache.draw(2, 500, 2, 64).cuda()
    assert runs_decode_kernel(lambda: flash_attention(q, k, k))
    assert not runs_decode_kernel(lambda: flash_attention(k, k, k))


OPTIONS = {
    "full": dict(causal=False),
    "window": dict(window=(300, -1)),
    "window to both sides, softcap": dict(window=(20, 3), causal=False, softcap=3.0),
    "window to the right": dict(window=(-1, 2), causal=False),
    "sinks": dict(sinks=(16,), softmax_scale=-0.2),
    "alibi": dict(alibi_slopes=(4, 16)),
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("counts", [(1, 1, 1, 1), (9, 0, 40, 2)], ids=str)
def test_packed_queries_with_options(name, counts):
    cache = Cache([30, 7, 3000, 700], 16, dtype=torch.bfloat16, device="cuda", kv_heads=4, dims=(64, 64))
    starts = [0, *itertools.accumulate(counts)]
    q = cache.draw(starts[-1], 16, 64).cuda()
    options = {n: torch.rand(x, generator=cache.generator) if n in ("sinks", "alibi_slopes") else x
               for n, x in OPTIONS[name].items()}  # fmt: skip
    on_device = {n: x.cuda() if isinstance(x, torch.Tensor) else x for n, x in options.items()}
    out, lse = paged_attention(
        q, *cache.arguments(), cu_seqlens_q=torch.tensor(starts, dtype=torch.int32, device="cuda"),
        return_lse=True, **on_device,
    )  # fmt: skip
    check(cache, q, out, lse, starts=starts, **options)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("dims", [(64, 64), (128, 128), (256, 192)])
def test_float8_cache(dims, dtype):
    cache = Cache([0, 77, 4099], 16, 1, dtype, "cuda", 2, dims)
    descales = torch.tensor([0.01, 0.003]), torch.tensor([0.25, 0.005])
    cache.to_float8(*descales)
    q = cache.draw(3, 1, 16, dims[0]).cuda()
    lens = cache.seq_lens
    names = dict(zip(("k_descale", "v_descale"), (t.cuda() for t in descales), strict=True))
    out, lse = paged_attention(q, *cache.arguments()[:3], lens, return_lse=True, **names)
    check(cache, q, out, lse)


@pytest.mark.parametrize("options", [{}, {"window": (900, -1)}, {"softcap": 4.0}], ids=str)
@pytest.mark.parametrize("seq_q, heads", [(1, 8), (1, 40), (3, 8)])
def test_few_queries_of_dense_attention(seq_q, heads, options):
    generator = torch.Generator().manual_seed(3)
    q, k, v = (
        (torch.rand(3, n, h, 128, generator=generator) * 2 - 1).bfloat16().cuda()
        for n, h in ((seq_q, heads), (2500, 2), (2500, 2))
    )
    run = lambda: flash_attention(q, k, v, causal=True, return_lse=True, **options)  # noqa: E731
    assert runs_decode_kernel(run)
    out, lse = run()
    want, want_lse, _ = attention(q, k, v, causal=True, **options)
    atol = bound(torch.bfloat16, 128, 2500)
    torch.testing.assert_close(out.cpu().double(), want, rtol=0, atol=atol)
    torch.testing.assert_close(lse.cpu().double(), want_lse, rtol=1e-6, atol=atol)


def angles(positions, half):
    angle = torch.arange(float(positions))[:, None] * 0.3 ** torch.arange(half)
    return dict(rotary_cos=angle.cos().cuda(), rotary_sin=angle.sin().cuda())


@pytest.mark.parametrize("append", [True, False])
def test_a_captured_graph_follows_lengths_and_table(append):
    """Replays read lengths, table, queries and angles anew, as a serving loop changes them."""
    caches = [Cache([60, 2000, 9], 16, 2, torch.bfloat16, "cuda", 2, (64, 64)) for _ in range(2)]
    for cache in caches:
        cache.k.nan_to_num_(), cache.v.nan_to_num_()
    q, k, v = (caches[0].draw(3, 1, heads, 64).cuda() for heads in (8, 2, 2))
    rest = dict(k=k, v=v, **angles(2100, 32)) if append else {}
    arguments = [cache.arguments() for cache in caches]
    warm = paged_attention(q, *arguments[0], **rest)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = paged_attention(q, *arguments[0], **rest)
    assert out.shape == warm.shape
    for lengths, order in (([60, 2000, 9], [0, 1, 2]), ([61, 1500, 0], [2, 1, 0])):
        for _, _, table, seq_lens in arguments:
            seq_lens.copy_(torch.tensor(lengths))
            table.copy_(table[order])
            seq_lens.copy_(seq_lens[order])
        q.neg_()
        graph.replay()
        assert torch.equal(out, paged_attention(q, *arguments[1], **rest))
        torch.testing.assert_close(caches[0].k, caches[1].k, rtol=0, atol=0, equal_nan=True)


SPOILT = {
    "page": (lambda table, lens: table[1].__setitem__(3, 77777), r"< num_pages = 24, got 77777 at \[1, 3\]"),
    "negative page": (lambda table, lens: table[1].__setitem__(0, -1), r"got -1 at \[1, 0\]"),
    "length": (lambda table, lens: lens.__setitem__(1, 2**31 - 1), "keys, got 2147483648 of sequence 1"),
    "negative length": (lambda table, lens: lens.__setitem__(1, -7), "seq_lens ≥ 0, got -7 at 1"),
}


@pytest.mark.parametrize("spoil, message", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("rotates", [True, False])
def test_outside_the_cache(spoil, message, rotates):
    """An error where lengths and table are checked; else NaN for that sequence, and no write elsewhere."""
    cache, plain = (Cache([100, 200, 3], 16, 1, torch.bfloat16, "cuda", 2, (64, 64)) for _ in range(2))
    q, k, v = (cache.draw(3, 1, heads, 64).cuda() for heads in (8, 2, 2))
    rest = angles(300, 32) if rotates else {}
    want = paged_attention(q, *plain.arguments(), k=k, v=v, **rest)
    before = cache.k.clone()
    spoil(cache.table, cache.seq_lens)
    with pytest.raises(ValueError, match=message):
        paged_attention(q, *cache.arguments(), k=k, v=v, **rest)
    torch.testing.assert_close(cache.k, before, rtol=0, atol=0, equal_nan=True)
    out = paged_attention(q, *cache.arguments(), k=k, v=v, validate=False, **rest)
    assert out[1].isnan().all()
    assert torch.equal(out[[0, 2]], want[[0, 2]])
    torch.cuda.synchronize()


def test_opcheck_and_compile():
    cache = Cache([5, 400], 16, 2, torch.bfloat16, "cuda", 2, (64, 64))
    q, k, v = (cache.draw(2, 2, heads, 64).cuda() for heads in (4, 2, 2))
    cache.k.nan_to_num_(), cache.v.nan_to_num_()
    torch.library.opcheck(paged_op, (q, *cache.arguments(), k, v, None, None, None, False, 0.25, True))
    step = lambda q, *cache: paged_attention(q * 2, *cache).sin()  # noqa: E731
    want = step(q, *cache.arguments())
    got = torch.compile(step, fullgraph=True, backend="aot_eager")(q, *cache.arguments())
    torch.testing.assert_close(got, want)
