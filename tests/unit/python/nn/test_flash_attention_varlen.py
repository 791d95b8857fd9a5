"""flash_attention_varlen against flash_attention's formula on each sequence alone."""

import itertools

import hypothesis
import pytest
import torch
from attention_formula import attention
from hypothesis import strategies as st

from zeta.nn.functional import flash_attention, flash_attention_varlen

forward_op = torch.ops.zeta.flash_attention_varlen_forward.default
backward_op = torch.ops.zeta.flash_attention_varlen_backward.default
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
LENGTHS = ((5, 7), (0, 3), (40, 40), (1, 130), (33, 0), (97, 20))


def starts(lengths, device="cpu"):
    return torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32, device=device)


class Problem:
    """Packed operands of sequences of (seq_q, seq_k) and the options of a call, the same numbers everywhere."""

    def __init__(
        self, lengths, dtype, device="cpu", kv_heads=2, group=2, head_dim=16, value_dim=24, **options
    ):
        generator = torch.Generator().manual_seed(3)
        self.lengths, self.kv_heads, self.group = lengths, kv_heads, group
        seq_q, seq_k = zip(*lengths, strict=True) if lengths else ((), ())
        heads = kv_heads * group

        def operand(total, n, dim):
            x = torch.rand(n, total, dim, generator=generator, dtype=torch.float64) * 2 - 1
            return x.transpose(0, 1).to(device, dtype).requires_grad_()

        self.inputs = [
            operand(sum(seq_q), heads, head_dim), operand(sum(seq_k), kv_heads, head_dim),
            operand(sum(seq_k), kv_heads, value_dim),
        ]  # fmt: skip
        self.grad_out = operand(sum(seq_q), heads, value_dim).detach()
        self.packing = (
            starts(seq_q, device), starts(seq_k, device), max(seq_q, default=0), max(seq_k, default=0)
        )  # fmt: skip
        self.options = options
        if options.pop("sinks", False):
            options["sinks"] = torch.randn(heads, generator=generator).to(device, dtype).requires_grad_()
        if options.get("alibi_slopes"):
            options["alibi_slopes"] = torch.rand(len(lengths), heads, generator=generator).to(device)
        if options.get("dropout_p"):
            options["rng_state"] = torch.tensor([1 << 40, 77], device=device)

    def differentiable(self):
        return [*self.inputs, *([self.options["sinks"]] if "sinks" in self.options else [])]

    def run(self):
        out, lse = flash_attention_varlen(*self.inputs, *self.packing, **self.options, return_lse=True)
        return out, lse, torch.autograd.grad(out, self.differentiable(), self.grad_out)

    def each(self, call):
        """(out, lse) of call(q, k, v, **options) of every sequence, packed again."""
        outs, lses = [], []
        rows = zip(*(t.split(n) for t, n in self._pieces()), strict=True)
        for index, (q, k, v) in enumerate(rows):
            options = dict(self.options)
            if "alibi_slopes" in options:
                options["alibi_slopes"] = options["alibi_slopes"][index]
            out, lse = call(q[None], k[None], v[None], index, options)
            outs.append(out[0])
            lses.append(lse[0])
        return torch.cat(outs), torch.cat(lses, 1)

    def _pieces(self):
        seq_q, seq_k = (list(n) for n in zip(*self.lengths, strict=True))
        return zip(self.inputs, (seq_q, seq_k, seq_k), strict=True)


OPTIONS = {
    "plain": {},
    "causal": dict(causal=True),
    "window": dict(window=(9, 2), causal=True, softcap=2.0),
    "alibi": dict(alibi_slopes=True),
    "sinks": dict(sinks=True, causal=True),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", OPTIONS)
def test_equals_each_sequence_alone_to_the_bit(name, dtype):
    """On the CPU, where both are the same kernel; test_flash_attention_options holds that against float64."""
    problem = Problem(LENGTHS, dtype, **OPTIONS[name])
    out, lse, grads = problem.run()

    def alone(q, k, v, index, options):
        return flash_attention(q, k, v, **options, return_lse=True)

    want, want_lse = problem.each(alone)
    assert torch.equal(out, want) and torch.equal(lse, want_lse)
    wanted = torch.autograd.grad(want, problem.differentiable(), problem.grad_out)
    for mine, plain in zip(grads[:3], wanted[:3], strict=True):
        assert torch.equal(mine, plain)
    if len(grads) > 3:  # each sequence's part is rounded where they are apart
        torch.testing.assert_close(grads[3], wanted[3], rtol=10 * torch.finfo(dtype).eps, atol=0.02)


@pytest.mark.parametrize("name", OPTIONS)
def test_other_devices(name):
    problem = Problem(LENGTHS, torch.float64, **OPTIONS[name])
    out, lse, grads = problem.run()
    other = torch._C.DispatchKeySet(torch._C.DispatchKey.XLA)
    o = problem.options
    arguments = (
        *problem.packing, 0.25, o.get("causal", False), *o.get("window", (-1, -1)), o.get("softcap", 0.0),
        o.get("alibi_slopes"), o.get("sinks"),
    )  # fmt: skip
    with torch.no_grad():
        results = forward_op.redispatch(other, *problem.inputs, *arguments)
        got = backward_op.redispatch(other, problem.grad_out, *problem.inputs, *results, *arguments)
    torch.testing.assert_close(results, (out, lse))  # float64: far below the default 1e-7
    torch.testing.assert_close(got[: len(grads)], grads)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_on_every_device(dtype, device):
    problem = Problem(LENGTHS, dtype, device, causal=True)
    exact = Problem(LENGTHS, torch.float64, causal=True)
    with torch.no_grad():
        for mine, plain in zip(exact.inputs, problem.inputs, strict=True):
            mine.copy_(plain)
    out, _, grads = problem.run()
    want, _, wanted = exact.run()
    # Sums of at most 130 probabilities of numbers in ±1, in fp32 at least, with operands of the dtype.
    bound = 2 * torch.finfo(dtype).eps + 300 * torch.finfo(torch.float32).eps
    torch.testing.assert_close(out.cpu().double(), want, rtol=0, atol=bound)
    for mine, plain in zip(grads, wanted, strict=True):
        size = plain.abs().max().item() + 1
        torch.testing.assert_close(mine.cpu().double(), plain, rtol=0, atol=16 * bound * size)


def test_dropout_counts_within_sequences():
    problem = Problem(((20, 30), (9, 17)), torch.float64, dropout_p=0.4)
    out, _, grads = problem.run()
    heads = problem.kv_heads * problem.group

    def alone(q, k, v, index, options):
        # Sequence `index` is batch `index`: others before it only move the count.
        several = [torch.cat([torch.zeros_like(t)] * index + [t]) for t in (q, k, v)]
        out, lse, _ = attention(*several, **options)
        return out[index:], lse[index:]

    want, _ = problem.each(alone)
    torch.testing.assert_close(out, want)
    wanted = torch.autograd.grad(want, problem.inputs, problem.grad_out)
    torch.testing.assert_close(grads, wanted)
    assert heads == 4


@hypothesis.settings(max_examples=30, deadline=None, derandomize=True)
@hypothesis.given(
    lengths=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 110)), min_size=1, max_size=6),
    group=st.sampled_from([1, 3]),
    causal=st.booleans(),
    dims=st.sampled_from([(8, 8), (13, 7), (64, 64)]),
)
def test_sweep(lengths, group, causal, dims):
    problem = Problem(lengths, torch.float64, group=group, causal=causal, head_dim=dims[0], value_dim=dims[1])
    out, lse, grads = problem.run()
    want, want_lse = problem.each(lambda q, k, v, index, options: attention(q, k, v, **options)[:2])
    torch.testing.assert_close(out, want)
    torch.testing.assert_close(lse, want_lse)
    wanted = torch.autograd.grad(want, problem.inputs, problem.grad_out)
    torch.testing.assert_close(grads, wanted)


def test_gradcheck():
    problem = Problem(
        ((3, 4), (0, 2), (5, 3)), torch.float64, head_dim=4, value_dim=3, causal=True, sinks=True
    )
    options = {name: x for name, x in problem.options.items() if name != "sinks"}

    def call(q, k, v, sinks):
        return flash_attention_varlen(q, k, v, *problem.packing, sinks=sinks, **options)

    assert torch.autograd.gradcheck(call, problem.differentiable())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_opcheck(dtype, device):
    problem = Problem(LENGTHS, dtype, device, sinks=True, alibi_slopes=True, dropout_p=0.2)
    o = problem.options
    rest = (*problem.packing, 0.25, True, 20, -1, 3.0, o["alibi_slopes"], o["sinks"], 0.2, o["rng_state"])
    torch.library.opcheck(forward_op, (*problem.inputs, *rest))
    with torch.no_grad():
        results = forward_op(*problem.inputs, *rest)
        detached = [
            t.detach() if isinstance(t, torch.Tensor) else t for t in (*problem.inputs, *results, *rest)
        ]
        torch.library.opcheck(backward_op, (problem.grad_out, *detached))


def test_compiles_as_one_graph(device):
    problem = Problem(LENGTHS, torch.float32, device, causal=True)

    def step(*inputs):
        return flash_attention_varlen(*inputs, *problem.packing, causal=True).sin()

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager", dynamic=True)
    got, want = compiled(*problem.inputs), step(*problem.inputs)
    torch.testing.assert_close(got, want)
    grads = [torch.autograd.grad(out, problem.inputs, problem.grad_out) for out in (got, want)]
    torch.testing.assert_close(*grads)


def test_autocast(device):
    problem = Problem(LENGTHS, torch.float32, device)
    with torch.autocast(device, torch.bfloat16):
        out = flash_attention_varlen(*problem.inputs, *problem.packing)
    want = flash_attention_varlen(*(t.bfloat16() for t in problem.inputs), *problem.packing)
    assert out.dtype == torch.bfloat16 and torch.equal(out, want)


def test_vmap_and_double_backward_are_refused_by_name():
    problem = Problem(((3, 4),), torch.float64)
    packed = [t.detach()[None] for t in problem.inputs]
    with pytest.raises(NotImplementedError, match=r"zeta::flash_attention_varlen_forward: torch\.func\.vmap"):
        torch.vmap(lambda q, k, v: flash_attention_varlen(q, k, v, *problem.packing))(*packed)
    out = flash_attention_varlen(*problem.inputs, *problem.packing)
    (grad,) = torch.autograd.grad(out.square().sum(), problem.inputs[0], create_graph=True)
    with pytest.raises(RuntimeError, match="zeta::flash_attention_varlen_backward"):
        grad.sum().backward()


def packing(q=(0, 3, 8), k=(0, 4, 6), max_q=5, max_k=4, dtype=torch.int32):
    return torch.tensor(q, dtype=dtype), torch.tensor(k, dtype=dtype), max_q, max_k


BAD = {
    "int64": (packing(dtype=torch.int64), TypeError, "cu_seqlens_q of int32, got Long"),
    "first": (packing(q=(1, 3, 8)), ValueError, r"cu_seqlens_q\[0\] = 0, got 1"),
    "falling": (
        packing(k=(0, 7, 6), max_k=9),
        ValueError,
        "cu_seqlens_k that never falls, got 7 before 6 at 1",
    ),
    "short": (packing(k=(0, 4, 5)), ValueError, "cu_seqlens_k that ends at 6, got 5"),
    "far": (packing(q=(0, 3, 9), max_q=6), ValueError, "cu_seqlens_q that ends at 8, got 9"),
    "longest": (packing(max_q=4), ValueError, "at most max_seqlen_q = 4, got 5 in cu_seqlens_q at 1"),
    "counts": (
        packing(k=(0, 2, 4, 6)),
        ValueError,
        r"cu_seqlens_k of shape \[3\] as cu_seqlens_q, got \[4\]",
    ),
    "empty": (packing(q=()), ValueError, r"cu_seqlens_q of shape \(sequences \+ 1\), got \[0\]"),
}


@pytest.mark.parametrize("arguments, error, message", BAD.values(), ids=BAD.keys())
def test_bad_lengths_are_named(arguments, error, message):
    q, k = torch.zeros(8, 2, 16), torch.zeros(6, 1, 16)
    with pytest.raises(error, match=message):
        flash_attention_varlen(q, k, k, *arguments)


def test_bad_operands_are_named():
    q = torch.zeros(8, 2, 16)
    with pytest.raises(ValueError, match=r"expected q of shape \(total_q, num_heads, head_dim\), got \[1, 8"):
        flash_attention_varlen(q[None], q, q, *packing())
    with pytest.raises(ValueError, match=r"alibi_slopes .* = \[2\] or .* = \[2, 2\], got \[3, 2\]"):
        flash_attention_varlen(q, q[:6], q[:6], *packing(), alibi_slopes=torch.zeros(3, 2))
