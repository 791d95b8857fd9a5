"""paged_attention and merge_attention_states against flash_attention over keys that lie side by side."""

import itertools

import hypothesis
import pytest
import torch
from attention_formula import attention
from hypothesis import strategies as st

from zeta.nn.functional import flash_attention, merge_attention_states, paged_attention

paged_op = torch.ops.zeta.paged_attention.default
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


class Cache:
    """Pages in a shuffled order, and the same keys and values side by side. Unused rows are NaN."""

    def __init__(
        self, lengths, page_size, new=0, dtype=torch.float64, device="cpu", kv_heads=2, dims=(16, 24)
    ):
        self.generator = torch.Generator().manual_seed(5)
        self.lengths, self.new, self.dtype, self.device, self.kv_heads = lengths, new, dtype, device, kv_heads
        needed = [-(-(n + new) // page_size) for n in lengths]
        pages = torch.randperm(sum(needed) + 3, generator=self.generator).tolist()
        table = torch.full((len(lengths), max(needed, default=0) + 1), 99999, dtype=torch.int32)
        self.keys, self.values = ([self.draw(n, kv_heads, dim) for n in lengths] for dim in dims)
        self.k, self.v = (
            torch.full((len(pages), page_size, kv_heads, dim), torch.nan, dtype=dtype) for dim in dims
        )
        for b, (n, count) in enumerate(zip(lengths, needed, strict=True)):
            for i in range(count):
                table[b, i] = page = pages.pop()
                rows = slice(i * page_size, min((i + 1) * page_size, n))
                size = max(rows.stop - rows.start, 0)
                self.k[page, :size], self.v[page, :size] = (
                    self.keys[b][rows][:size],
                    self.values[b][rows][:size],
                )
        self.k, self.v, self.table = (t.to(device) for t in (self.k, self.v, table))
        self.seq_lens = torch.tensor(lengths, dtype=torch.int32, device=device)

    def draw(self, *shape):
        return (torch.rand(shape, generator=self.generator, dtype=torch.float64) * 2 - 1).to(self.dtype)

    def arguments(self):
        return self.k, self.v, self.table, self.seq_lens

    def to_float8(self, k_descale, v_descale):
        """Round what it holds to e4m3; descales are (kv_heads)."""
        for pages, rows, descale in (("k", "keys", k_descale), ("v", "values", v_descale)):
            device = getattr(self, pages).device
            setattr(self, pages, codes(getattr(self, pages), descale.to(device)))
            exact = [codes(t, descale).double() * descale.double()[:, None] for t in getattr(self, rows)]
            setattr(self, rows, exact)


def codes(t, descale):
    """What a float8 cache stores of (…, kv_heads, dim)."""
    return (t.float() / descale[:, None]).clamp(-448, 448).to(torch.float8_e4m3fn)


def side_by_side(cache, b, k=None, v=None):
    new = [] if k is None else [k.cpu()], [] if v is None else [v.cpu()]
    return torch.cat([cache.keys[b], *new[0]])[None], torch.cat([cache.values[b], *new[1]])[None]


# Scores are below 4 in size, by sums of 16 in fp32 (see bound): off by 19 · 4 · ε at most. The log-sum-exp hands that
# on, and rounds its own sum and logarithm.
EPSILON = torch.finfo(torch.float32).eps
LSE = {"rtol": 9 * EPSILON, "atol": (19 * 4 + 8) * EPSILON}


def bound(dtype, keys):
    """Σ p = 1 and |v| ≤ 1; scores below 16 · 16^-0.5 = 4 in magnitude, by sums of 16 in fp32, exact in float64."""
    unit = torch.finfo(torch.float64 if dtype == torch.float64 else torch.float32).eps
    return torch.finfo(dtype).eps + (2 * 19 * 4 + keys + 8) * unit


@pytest.mark.parametrize("page_size", [1, 16, 64])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("seq_q, group", [(1, 1), (1, 4), (1, 9), (5, 2), (70, 1)])
def test_appends_and_attends(page_size, dtype, seq_q, group, device):
    cache = Cache([0, 3, 64, 131], page_size, new=seq_q, dtype=dtype, device=device)
    heads = cache.kv_heads * group
    q = cache.draw(4, seq_q, heads, 16).to(device)
    k, v = (cache.draw(4, seq_q, cache.kv_heads, dim).to(device) for dim in (16, 24))
    out, lse = paged_attention(q, *cache.arguments(), k=k, v=v, return_lse=True)
    assert out.dtype == dtype
    for b in range(4):
        keys, values = side_by_side(cache, b, k[b], v[b])
        want, want_lse, _ = attention(q[b : b + 1], keys, values, causal=True)
        torch.testing.assert_close(out[b].cpu().double(), want[0], rtol=0, atol=bound(dtype, keys.shape[1]))
        torch.testing.assert_close(
            lse[b].cpu().double(), want_lse[0], rtol=1e-6, atol=bound(torch.float32, keys.shape[1])
        )
        for page, n in zip(cache.table[b].tolist(), range(0, keys.shape[1], page_size), strict=False):
            size = min(page_size, keys.shape[1] - n)
            assert torch.equal(cache.k[page, :size].cpu(), keys[0, n : n + size])
            assert torch.equal(cache.v[page, :size].cpu(), values[0, n : n + size])
            assert cache.k[page, size:].isnan().all()


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_rotates_by_position(interleaved, dtype, device):
    seq_q, dim, turned = 3, 16, 12
    cache = Cache([5, 40], 16, new=seq_q, dtype=dtype, device=device)
    q = cache.draw(2, seq_q, 4, dim).to(device)
    k, v = (cache.draw(2, seq_q, 2, d).to(device) for d in (dim, 24))
    angle = torch.arange(50.0)[:, None] * 0.3 ** torch.arange(turned // 2)
    cos, sin = angle.cos().to(device), angle.sin().to(device)

    def rotated(x, first):
        """Pairs as complex numbers, times exp(i angle)."""
        y = x.double().cpu().clone()
        pair = y[..., :turned].unflatten(-1, (-1, 2) if interleaved else (2, -1))
        pair = pair if interleaved else pair.mT
        turn = torch.polar(torch.ones(()).double(), angle[first : first + len(x), None].double())
        product = torch.view_as_real(torch.view_as_complex(pair.contiguous()) * turn)
        y[..., :turned] = (product if interleaved else product.mT).flatten(-2)
        return y.to(dtype)

    out = paged_attention(
        q, *cache.arguments(), k=k, v=v, rotary_cos=cos, rotary_sin=sin, rotary_interleaved=interleaved
    )
    for b, first in enumerate(cache.lengths):
        keys, values = side_by_side(cache, b, rotated(k[b], first), v[b])
        want, _, _ = attention(rotated(q[b], first)[None], keys, values, causal=True)
        # Angles are rounded to fp32: rotations are off by a unit of it, and may round to the next number.
        torch.testing.assert_close(
            out[b].cpu().double(), want[0], rtol=0, atol=bound(dtype, 50) + 8 * torch.finfo(dtype).eps
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("seq_q, group", [(1, 1), (1, 9), (5, 2)])
@pytest.mark.parametrize("dims", [(16, 32), (80, 64)])
def test_float8_cache(seq_q, group, dims, dtype, device):
    cache = Cache([0, 3, 131], 16, new=seq_q, dtype=dtype, device=device, dims=dims)
    # Keys of up to 500 units of their scale: those that are too large for e4m3 are clamped.
    descales = [torch.tensor([0.002, 0.01]), torch.tensor([0.25, 0.003])]
    cache.to_float8(*descales)
    q = cache.draw(3, seq_q, cache.kv_heads * group, dims[0]).to(device)
    k, v = (cache.draw(3, seq_q, cache.kv_heads, dim).to(device) for dim in dims)
    on_device = dict(zip(("k_descale", "v_descale"), (t.to(device) for t in descales), strict=True))
    out, lse = paged_attention(q, *cache.arguments(), k=k, v=v, return_lse=True, **on_device)
    assert out.dtype == dtype
    for b in range(3):
        new = [codes(t[b].cpu(), descale) for t, descale in zip((k, v), descales, strict=True)]
        exact = [t.double() * descale.double()[:, None] for t, descale in zip(new, descales, strict=True)]
        keys, values = side_by_side(cache, b, *exact)
        want, want_lse, _ = attention(q[b : b + 1], keys, values, causal=True)
        # Scores are below dims[0]^½, by sums of dims[0] products; the rest as in bound().
        score = (dims[0] + 3) * dims[0] ** 0.5 * EPSILON
        atol = torch.finfo(dtype).eps + 2 * score + (keys.shape[1] + 8) * EPSILON
        torch.testing.assert_close(out[b].cpu().double(), want[0], rtol=0, atol=atol)
        torch.testing.assert_close(lse[b].cpu().double(), want_lse[0], rtol=1e-6, atol=atol)
        first = cache.lengths[b]
        for i in range(seq_q):
            page, row = cache.table[b, (first + i) // 16], (first + i) % 16
            assert torch.equal(cache.k[page, row].cpu().float(), new[0][i].float())
            assert torch.equal(cache.v[page, row].cpu().float(), new[1][i].float())


def test_descales_broadcast_to_sequences_and_heads():
    cache = Cache([30, 40], 16, new=1, dtype=torch.float32)
    cache.to_float8(torch.ones(2), torch.ones(2))
    q, k, v = (cache.draw(2, 1, heads, dim) for heads, dim in ((4, 16), (2, 16), (2, 24)))
    each = torch.rand(2, 2, generator=cache.generator) + 0.5
    kept = [t.clone() for t in cache.arguments()]
    want = paged_attention(q, *cache.arguments(), k=k, v=v, k_descale=torch.full((2, 2), 0.5), v_descale=each)
    pages = cache.k.view(torch.uint8).clone()
    got = paged_attention(q, *kept, k=k, v=v, k_descale=torch.tensor(0.5), v_descale=each)
    assert torch.equal(got, want)
    assert torch.equal(kept[0].view(torch.uint8), pages)


OPTIONS = {
    "plain": {},
    "full": dict(causal=False),
    "window": dict(window=(20, -1), softcap=3.0),
    "alibi and sinks": dict(alibi_slopes=(3, 4), sinks=(4,)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("name", OPTIONS)
def test_packed_queries_with_options(name, dtype):
    """No new keys: the last of the queries stands at the last key there is."""
    cache, counts = Cache([30, 7, 100], 16, dtype=dtype), [9, 0, 2]
    q = cache.draw(sum(counts), 4, 16)
    options = {
        n: torch.rand(x, generator=cache.generator) if isinstance(x, tuple) and n != "window" else x
        for n, x in OPTIONS[name].items()
    }
    if "sinks" in options:
        options["sinks"] = options["sinks"].to(dtype)
    starts = torch.tensor([0, *itertools.accumulate(counts)], dtype=torch.int32)
    out, lse = paged_attention(q, *cache.arguments(), cu_seqlens_q=starts, return_lse=True, **options)
    assert out.shape == (11, 4, 24) and lse.shape == (4, 11)
    for b, rows in enumerate(q.split(counts)):
        own = dict(causal=True) | options
        if "alibi_slopes" in own:
            own["alibi_slopes"] = own["alibi_slopes"][b]
        want, want_lse, _ = attention(rows[None], *side_by_side(cache, b), **own)
        mine = slice(sum(counts[:b]), sum(counts[: b + 1]))
        torch.testing.assert_close(out[mine].double(), want[0], rtol=0, atol=bound(dtype, 100) * 4)
        torch.testing.assert_close(lse[:, mine].double(), want_lse[0], **LSE)


@hypothesis.settings(max_examples=40, deadline=None, derandomize=True)
@hypothesis.given(
    lengths=st.lists(st.integers(0, 150), min_size=1, max_size=4),
    page_size=st.sampled_from([1, 3, 16, 48, 50, 128]),
    seq_q=st.integers(1, 20),
    append=st.booleans(),
    window=st.sampled_from([(-1, -1), (0, -1), (37, -1)]),
    other=st.booleans(),
)
def test_sweep(lengths, page_size, seq_q, append, window, other):
    """On the CPU's kernel, and on the formula for other devices."""
    new = seq_q if append else 0
    cache = Cache(lengths, page_size, new=new)
    q = cache.draw(len(lengths), seq_q, 6, 16)
    k, v = (cache.draw(len(lengths), seq_q, 2, dim) if append else None for dim in (16, 24))
    rest = (k, v, None, None, None, False, 0.25, True, *window)
    if other:
        keys = torch._C.DispatchKeySet(torch._C.DispatchKey.XLA)
        out, lse = paged_op.redispatch(keys, q, *cache.arguments(), *rest)
    else:
        out, lse = paged_op(q, *cache.arguments(), *rest)
    for b in range(len(lengths)):
        keys, values = side_by_side(cache, b, *((k[b], v[b]) if append else ()))
        want, want_lse, _ = attention(q[b : b + 1], keys, values, causal=True, window=window)
        torch.testing.assert_close(out[b], want[0])
        torch.testing.assert_close(lse[b], want_lse[0])


def test_opcheck():
    cache = Cache([5, 40], 16, new=2, dtype=torch.float32)
    q, k, v = cache.draw(2, 2, 4, 16), cache.draw(2, 2, 2, 16), cache.draw(2, 2, 2, 24)
    cache.k.nan_to_num_(), cache.v.nan_to_num_()
    angle = torch.rand(50, 8)
    arguments = (q, *cache.arguments(), k, v, None, angle.cos(), angle.sin(), False, 0.25, True)
    torch.library.opcheck(paged_op, arguments)


def test_compiles_as_one_graph():
    caches = [Cache([5, 40], 16, new=1, dtype=torch.float32) for _ in range(2)]
    q, k, v = (caches[0].draw(2, 1, heads, dim) for heads, dim in ((4, 16), (2, 16), (2, 24)))

    def step(q, k, v, *cache):
        return paged_attention(q * 2, *cache, k=k, v=v).sin()

    want = step(q, k, v, *caches[0].arguments())
    got = torch.compile(step, fullgraph=True, backend="aot_eager")(q, k, v, *caches[1].arguments())
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(caches[1].k, caches[0].k, equal_nan=True)


def test_backward_and_vmap_are_refused_by_name():
    cache = Cache([5], 16)
    q = cache.draw(1, 1, 2, 16)
    with pytest.raises(RuntimeError, match="zeta::paged_attention"):
        paged_attention(q.clone().requires_grad_(), *cache.arguments()).sum().backward()
    with pytest.raises(NotImplementedError, match=r"zeta::paged_attention: torch\.func\.vmap"):
        torch.vmap(lambda q: paged_attention(q, *cache.arguments()))(q[None])


def to_float8(a):
    return {name: a[name].to(torch.float8_e4m3fn) for name in ("k_cache", "v_cache")}


BAD = {
    "page": (lambda a: a["block_table"].__setitem__((1, 1), 77), ValueError, r"< num_pages = 7, got 77 at \[1, 1\]"),
    "negative page": (lambda a: a["block_table"].__setitem__((0, 0), -1), ValueError, r"got -1 at \[0, 0\]"),
    "length": (lambda a: a["seq_lens"].fill_(4000), ValueError, "page_size = 64 keys, got 4001 of sequence 0"),
    "negative length": (lambda a: a["seq_lens"].fill_(-3), ValueError, "seq_lens ≥ 0, got -3 at 0"),
    "table dtype": (lambda a: a.update(block_table=a["block_table"].long()), TypeError, "block_table of Int, got Long"),
    "table shape": (lambda a: a.update(block_table=a["block_table"][:1]), ValueError, r"block_table of shape \[2, 4\]"),
    "one of two": (lambda a: a.update(v=None), ValueError, "both k_new and v_new, or neither"),
    "new shape": (lambda a: a.update(k=a["k"][:, :, :1]), ValueError, r"k_new of shape \[2, 1, 2, 16\], got \[2, 1, 1"),
    "cache dtype": (lambda a: a.update(k_cache=a["k_cache"].half()), TypeError, "k_cache of Float, got Half"),
    "cache strides": (lambda a: a.update(v_cache=a["v_cache"][..., ::2]), ValueError, "v_cache with a contiguous last"),
    "head_dim": (lambda a: a.update(q=a["q"][..., 1:]), ValueError, "k_cache of q's head_dim 15, got 16"),
    "rank": (lambda a: a.update(q=a["q"][0]), ValueError, r"q of shape \(batch, seq_q, num_heads, head_dim\), got \[1"),
    "descale without float8": (lambda a: a.update(k_descale=torch.ones(2)), ValueError,
                               "k_descale only with a cache of Float8_e4m3fn, got Float"),
    "descale shape": (lambda a: a.update(to_float8(a), v_descale=torch.ones(3)), ValueError,
                      r"v_descale that broadcasts to \(batch, num_kv_heads\) = \[2, 2\], got \[3\]"),
    "descale dtype": (lambda a: a.update(to_float8(a), k_descale=torch.ones(2).double()), TypeError,
                      "k_descale of Float, got Double"),
    "one float8 cache": (lambda a: a.update(k_cache=to_float8(a)["k_cache"]), TypeError,
                         "v_cache of Float8_e4m3fn, got Float"),
    "angles": (lambda a: a.update(rotary_cos=torch.ones(20, 8), rotary_sin=torch.ones(20, 8)), ValueError,
               "positions within rotary_cos, of 20, got 40 to 41 of sequence 1"),
}  # fmt: skip


@pytest.mark.parametrize("spoil, error, message", BAD.values(), ids=BAD.keys())
def test_bad_arguments_are_named_and_nothing_is_written(spoil, error, message):
    cache = Cache([5, 40], 16, new=1, dtype=torch.float32)
    before = cache.k.clone()
    k, v, table, lens = cache.arguments()
    arguments = dict(
        q=cache.draw(2, 1, 4, 16), k_cache=k, v_cache=v, block_table=table, seq_lens=lens,
        k=cache.draw(2, 1, 2, 16), v=cache.draw(2, 1, 2, 24),
    )  # fmt: skip
    spoil(arguments)
    with pytest.raises(error, match=message):
        paged_attention(**arguments)
    torch.testing.assert_close(cache.k, before, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_merged_states_are_attention_to_all_keys(dtype, device):
    cache = Cache([], 1, dtype=dtype)
    q, k, v = (cache.draw(2, n, 4, dim).to(device) for n, dim in ((7, 16), (50, 16), (50, 24)))
    none = torch.zeros(2, 1, 1, 20, dtype=torch.bool, device=device)
    for split, mask in ((20, None), (20, none), (0, None)):
        parts = [
            flash_attention(q, k[:, :split], v[:, :split], mask=mask, return_lse=True),
            flash_attention(q, k[:, split:], v[:, split:], return_lse=True),
        ]
        out, lse = merge_attention_states(*parts[0], *parts[1])
        first = 0 if mask is None else split
        want, want_lse, _ = attention(q, k[:, first:], v[:, first:])
        torch.testing.assert_close(out.cpu().double(), want, rtol=0, atol=3 * bound(dtype, 50))
        torch.testing.assert_close(lse.cpu().double(), want_lse, **LSE)
    empty = flash_attention(q, k[:, :0], v[:, :0], return_lse=True)
    out, lse = merge_attention_states(*empty, *empty)
    assert not out.any() and (lse == -torch.inf).all()


def test_merge_is_checked_and_not_differentiable():
    out, lse = torch.rand(2, 5, 3, 8), torch.rand(2, 3, 5)
    torch.library.opcheck(torch.ops.zeta.merge_attention_states.default, (out, lse, out, lse))
    with pytest.raises(ValueError, match=r"lse_b of shape \[2, 3, 5\], got \[2, 5, 3\]"):
        merge_attention_states(out, lse, out, lse.mT)
    with pytest.raises(TypeError, match="out_b of Float, got Half"):
        merge_attention_states(out, lse, out.half(), lse)
    with pytest.raises(RuntimeError, match="zeta::merge_attention_states"):
        merge_attention_states(out.requires_grad_(), lse, out, lse)[0].sum().backward()
