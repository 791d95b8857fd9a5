"""The flash_attention ops against the formula in float64, and what PyTorch asks of an operator."""

import dataclasses

import pytest
import torch

import zeta.nn
from zeta.nn.functional import flash_attention

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]
forward_op = torch.ops.zeta.flash_attention_forward.default
backward_op = torch.ops.zeta.flash_attention_backward.default


@dataclasses.dataclass(frozen=True)
class Case:
    batch: int = 2
    seq_q: int = 33
    seq_k: int = 33
    heads: int = 4
    kv_heads: int = 4
    head_dim: int = 16
    value_dim: int = 16
    causal: bool = False
    mask: str | None = None  # what of (batch, heads, seq_q, seq_k) it has; - where it broadcasts

    def tensors(self, dtype=torch.float64, requires_grad=True, device="cpu"):
        """q, k, v, grad_out uniform in ±1 and a mask; strides as transposed (batch, heads, seq, dim).

        The same numbers on every device."""
        generator = torch.Generator().manual_seed(11)

        def draw(seq, heads, dim):
            x = torch.rand(self.batch, heads, seq, dim, generator=generator, dtype=torch.float64) * 2 - 1
            return x.to(device, dtype).transpose(1, 2).detach().requires_grad_(requires_grad)

        sizes = (self.batch, self.heads, self.seq_q, self.seq_k)
        mask = None
        if self.mask is not None:
            kept = [n if letter != "-" else 1 for letter, n in zip(self.mask, sizes, strict=True)]
            mask = torch.rand(kept, generator=generator) < 0.7
            mask[..., :1, :] &= self.mask[2] == "-"  # a row that attends nothing
            mask = mask.to(device)
        return (
            draw(self.seq_q, self.heads, self.head_dim),
            draw(self.seq_k, self.kv_heads, self.head_dim),
            draw(self.seq_k, self.kv_heads, self.value_dim),
            draw(self.seq_q, self.heads, self.value_dim).detach(),
            mask,
        )


CASES = [
    Case(),
    Case(causal=True, seq_q=130, seq_k=130, heads=2, kv_heads=1, head_dim=64, value_dim=64),
    Case(causal=True, seq_q=20, seq_k=110),
    Case(causal=True, seq_q=110, seq_k=20),
    Case(causal=True, seq_q=1, seq_k=200, heads=6, kv_heads=2),
    Case(mask="bhqk", kv_heads=2),
    Case(mask="b--k", causal=True),
    Case(mask="--qk"),
    Case(mask="-hq-"),
    Case(head_dim=1, value_dim=256),
    Case(head_dim=37, value_dim=5, kv_heads=1),
    Case(seq_q=1, seq_k=1),
    Case(seq_q=0),
    Case(seq_k=0),
    Case(batch=0),
]


def formula(q, k, v, mask, causal):
    """Returns out, lse and the probabilities, plainly, in float64 on the CPU."""
    group = q.shape[2] // k.shape[2]
    q, k, v = (t.cpu().double().transpose(1, 2) for t in (q, k, v))
    scores = q @ k.repeat_interleave(group, 1).mT * q.shape[-1] ** -0.5
    allowed = torch.ones(scores.shape[-2:], dtype=torch.bool)
    if causal:
        allowed = allowed.tril(k.shape[2] - q.shape[2])
    if mask is not None:
        allowed = allowed & mask.cpu()
    scores = scores.masked_fill(~allowed, -torch.inf)
    p = scores.softmax(-1).masked_fill(~allowed, 0)
    return (p @ v.repeat_interleave(group, 1)).transpose(1, 2), scores.logsumexp(-1), p


def bounds(case, dtype, p, device="cpu"):
    """How far out and the gradients of q, k, v may be off, for inputs within ±1.

    A score sums head_dim products below 1, so rounding moves it, and with it the logarithm of a probability,
    by at most (head_dim + 3) u head_dim scale; the sum over keys adds (seq_k + 8) u. Gradient terms are at
    most 2 value_dim scale times a probability (twice the error: D has its own), and a stored result is
    rounded again. GPUs, and CPUs for bfloat16, multiply operands of 16 bits: probabilities are rounded before
    they meet v, and for the gradients so are those of the scores, D through out once more, and each query head's
    part of a shared key.
    """
    unit = torch.finfo(torch.float64 if dtype == torch.float64 else torch.float32).eps / 2
    store = torch.finfo(dtype).eps / 2
    scale = case.head_dim**-0.5
    relative = 2 * (case.head_dim + 3) * unit * case.head_dim * scale + (case.seq_k + 8) * unit
    rows = case.seq_q * case.heads // case.kv_heads
    per_key = p.sum(2).unflatten(1, (case.kv_heads, -1)).sum(2).max().item() if p.numel() else 0.0
    operand = store if device == "cuda" or dtype == torch.bfloat16 else 0.0
    gradient = 2 * relative + (rows + 2 * case.value_dim + 16) * unit + 2 * store + 3 * operand
    term = 2 * case.value_dim * scale
    return relative + store + operand, gradient * term, gradient * term * per_key, gradient * per_key


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_formula(case, dtype, device):
    q, k, v, grad_out, mask = case.tensors(dtype, device=device)
    out, lse = flash_attention(q, k, v, mask=mask, causal=case.causal, return_lse=True)
    got = [out, *torch.autograd.grad(out, (q, k, v), grad_out)]

    exact = [t.detach().cpu().double().requires_grad_() for t in (q, k, v)]
    want_out, want_lse, p = formula(*exact, mask, case.causal)
    want = [want_out, *torch.autograd.grad(want_out, exact, grad_out.cpu().double())]

    assert out.dtype == dtype and out.is_contiguous()
    assert lse.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(
        lse.cpu().double(), want_lse, rtol=1e-6, atol=bounds(case, torch.float32, p)[0]
    )
    for name, mine, plain, bound in zip(
        ["out", "q", "k", "v"], got, want, bounds(case, dtype, p, device), strict=True
    ):
        torch.testing.assert_close(
            mine.cpu().double(),
            plain,
            rtol=torch.finfo(dtype).eps,
            atol=bound,
            msg=lambda m, name=name: f"{name}: {m}",
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_formula_for_other_devices(case, dtype):
    """The ATen path, which CPU tensors take when dispatched as if for a device without kernels of ours."""
    q, k, v, grad_out, mask = case.tensors(dtype, requires_grad=False)
    other = torch._C.DispatchKeySet(torch._C.DispatchKey.XLA)
    scale = case.head_dim**-0.5
    out, lse = forward_op.redispatch(other, q, k, v, mask, scale, case.causal)
    got = [out, *backward_op.redispatch(other, grad_out, q, k, v, out, lse, mask, scale, case.causal)[:3]]
    ours, ours_lse = forward_op(q, k, v, mask, scale, case.causal)
    want = [ours, *backward_op(grad_out, q, k, v, ours, ours_lse, mask, scale, case.causal)[:3]]
    p = formula(q, k, v, mask, case.causal)[2]
    torch.testing.assert_close(lse, ours_lse, rtol=1e-6, atol=bounds(case, dtype, p)[0])
    for mine, plain, bound in zip(got, want, bounds(case, dtype, p), strict=True):
        torch.testing.assert_close(mine, plain, rtol=torch.finfo(dtype).eps, atol=2 * bound)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_strided_inputs_are_read_in_place_or_copied(dtype, device):
    """Slices of a longer cache, broadcast batches, and a last dimension that is not contiguous."""
    options = {"dtype": dtype, "device": device}
    cache = torch.rand(1, 4, 50, 16, **options).transpose(1, 2)[:, 3:40].expand(2, -1, -1, -1)
    q = torch.rand(2, 16, 4, 5, **options).transpose(1, 3)
    want = flash_attention(
        q.transpose(1, 2).contiguous().transpose(1, 2), cache.contiguous(), cache.contiguous()
    )
    torch.testing.assert_close(flash_attention(q, cache, cache), want, rtol=0, atol=0)
    odd = torch.rand(2, 7, 4, 25, **options)[..., 1:17]  # starts and rows at no multiple of 16 bytes
    want = flash_attention(*(t.contiguous() for t in (odd, odd, odd)))
    torch.testing.assert_close(flash_attention(odd, odd, odd), want, rtol=0, atol=0)


@pytest.mark.parametrize("case", [Case(causal=True, kv_heads=2), Case(mask="bhqk")], ids=str)
def test_gradcheck(case, device):
    small = dataclasses.replace(case, batch=1, seq_q=7, seq_k=9, head_dim=5, value_dim=3)
    q, k, v, _, mask = small.tensors(device=device)
    assert torch.autograd.gradcheck(lambda *t: flash_attention(*t, mask=mask, causal=case.causal), (q, k, v))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("mask", [None, "b--k"])
def test_opcheck(dtype, mask, device):
    case = Case(mask=mask, causal=True, kv_heads=2)
    q, k, v, grad_out, allowed = case.tensors(dtype, device=device)
    torch.library.opcheck(forward_op, (q, k, v, allowed, 0.25, True))
    with torch.no_grad():
        out, lse = forward_op(q, k, v, allowed, 0.25, True)
        arguments = (grad_out, q.detach(), k.detach(), v.detach(), out, lse, allowed, 0.25, True)
        torch.library.opcheck(backward_op, arguments)


def test_compiles_as_one_graph(device):
    q, k, v, grad_out, mask = Case(mask="--qk").tensors(torch.float32, device=device)

    def step(q, k, v):
        return flash_attention(q * 2, k, v, mask=mask, causal=True).sin()

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager", dynamic=True)
    want = [step(q, k, v), *torch.autograd.grad(step(q, k, v), (q, k, v), grad_out)]
    got_out = compiled(q, k, v)
    got = [got_out, *torch.autograd.grad(got_out, (q, k, v), grad_out)]
    for mine, plain in zip(got, want, strict=True):
        torch.testing.assert_close(mine, plain)


def test_autocast_casts_all_operands(device):
    q, k, v, grad_out, _ = Case().tensors(torch.float32, device=device)
    with torch.autocast(device, torch.bfloat16):
        out = flash_attention(q, k.bfloat16(), v)
    assert out.dtype == torch.bfloat16
    want = flash_attention(q.bfloat16(), k.bfloat16(), v.bfloat16())
    torch.testing.assert_close(out, want, rtol=0, atol=0)
    assert torch.autograd.grad(out, q, grad_out.bfloat16())[0].dtype == torch.float32


def test_vmap_is_refused_by_name():
    q, k, v, _, _ = Case().tensors(requires_grad=False)
    with pytest.raises(NotImplementedError, match=r"zeta::flash_attention_forward: torch\.func\.vmap"):
        torch.vmap(flash_attention)(q[None], k[None], v[None])


def test_double_backward_is_refused_by_name():
    q, k, v, _, _ = Case().tensors()
    (grad,) = torch.autograd.grad(flash_attention(q, k, v).square().sum(), q, create_graph=True)
    with pytest.raises(RuntimeError, match="zeta::flash_attention_backward"):
        grad.sum().backward()


def test_gradients_are_deterministic():
    q, k, v, grad_out, _ = Case(causal=True, seq_q=400, seq_k=400, heads=2, kv_heads=1).tensors(torch.float32)
    runs = []
    threads = torch.get_num_threads()
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        runs.append(torch.autograd.grad(flash_attention(q, k, v, causal=True), (q, k, v), grad_out))
    torch.set_num_threads(threads)
    for run in runs[1:]:
        for mine, first in zip(run, runs[0], strict=True):
            assert torch.equal(mine, first)


def peak_memory(device) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def reset_peak_memory(device) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return
    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")


def test_memory_is_linear_in_the_sequence(device):
    seq, dtype = 8192, torch.float32 if device == "cpu" else torch.bfloat16
    q, k, v = (torch.rand(1, seq, 1, 16, dtype=dtype, device=device, requires_grad=True) for _ in range(3))
    flash_attention(q[:, :10], k, v).sum().backward()  # threads and libraries have started
    reset_peak_memory(device)
    before = peak_memory(device)
    flash_attention(q, k, v, causal=True).sum().backward()
    # All tensors together are 0.5 MiB each; a matrix of scores would be 256 MiB, its bool mask 64.
    assert peak_memory(device) - before < 32 * 2**20


BAD = {
    "three dimensions": (lambda q, k, v, m: (q[0], k, v, m), ValueError, r"q of shape \(batch, seq_q"),
    "batch": (lambda q, k, v, m: (q, k[:1], v, m), ValueError, r"k of shape \[2, 33, 4, 16\], got \[1, "),
    "seq_k": (
        lambda q, k, v, m: (q, k, v[:, 1:], m),
        ValueError,
        r"v of shape \[2, 33, 4, 16\], got \[2, 32",
    ),
    "head_dim": (lambda q, k, v, m: (q[..., 1:], k, v, m), ValueError, r"k of shape \[2, 33, 4, 15\]"),
    "heads": (lambda q, k, v, m: (q, k[:, :, :3], v[:, :, :3], m), ValueError, "num_heads = 4, got 3"),
    "no heads": (lambda q, k, v, m: (q, k[:, :, :0], v[:, :, :0], m), ValueError, "num_heads = 4, got 0"),
    "dtype": (lambda q, k, v, m: (q, k.half(), v, m), TypeError, "k of q's dtype Double, got Half"),
    "integers": (lambda q, k, v, m: (q.long(), k.long(), v.long(), m), TypeError, "got Long"),
    "wide": (lambda q, k, v, m: (q.repeat(1, 1, 1, 20), k, v, m), ValueError, "head_dim ≤ 256, got 320"),
    "float mask": (lambda q, k, v, m: (q, k, v, m.float()), TypeError, "expected a bool mask"),
    "mask shape": (lambda q, k, v, m: (q, k, v, m[..., 1:]), ValueError, r"to .* = \[2, 4, 33, 33\]"),
}


@pytest.mark.parametrize("spoil, error, message", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_bad_arguments_are_named(spoil, error, message, device):
    q, k, v, _, mask = Case(mask="bhqk").tensors(requires_grad=False, device=device)
    q, k, v, mask = spoil(q, k, v, mask)
    with pytest.raises(error, match=message):
        zeta.nn.functional.flash_attention(q, k, v, mask=mask)


def test_operands_on_two_devices_are_refused():
    q, k, v, grad_out, mask = Case(mask="bhqk").tensors(requires_grad=False)
    with pytest.raises(RuntimeError, match="expected mask on q's device meta, got cpu"):
        flash_attention(*(t.to("meta") for t in (q, k, v)), mask=mask)
    out, lse = flash_attention(q, k, v, return_lse=True)
    with pytest.raises(RuntimeError, match="expected lse on q's device cpu, got meta"):
        backward_op(grad_out, q, k, v, out, lse.to("meta"), None, 0.25, False)
