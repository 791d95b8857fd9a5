"""GGUF files that others wrote, and files that are broken."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from zeta.export import ExportError, import_gguf
from zeta.export.gguf.file import GgufFile
from zeta.export.gguf.layers import read_layer, read_plain
from zeta.quant import unpack_int4

GOLDEN = Path(__file__).parents[3] / "golden" / "gguf"
MIXED = GOLDEN / "mixed.gguf"


def changed(tmp_path: Path, at: int | bytes, to: bytes) -> Path:
    """The golden file with bytes replaced: at an offset, or at the first place after a text."""
    data = bytearray(MIXED.read_bytes())
    start = data.index(at) + len(at) if isinstance(at, bytes) else at
    data[start : start + len(to)] = to
    path = tmp_path / "changed.gguf"
    path.write_bytes(data)
    return path


def test_values_are_those_of_the_gguf_package() -> None:
    gguf = GgufFile(MIXED)
    for name, digest in json.loads((GOLDEN / "digests.json").read_text()).items():
        values = read_plain(gguf, name).float()
        assert hashlib.sha256(values.numpy().tobytes()).hexdigest() == digest, name


def test_mixed_file_becomes_a_folder_with_its_values(tmp_path: Path) -> None:
    report = import_gguf(MIXED, tmp_path / "model")
    assert report.precision == "4bit" and report.packed_layers == 4
    assert report.notes == ["3 linear layers are stored as floats"]
    stored = load_file(tmp_path / "model" / "model.safetensors")
    layer = "model.layers.0.self_attn.v_proj"
    codes, scale = unpack_int4(stored[f"{layer}.weight_packed"]), stored[f"{layer}.weight_scale"].float()
    expected = read_plain(GgufFile(MIXED), "blk.0.attn_v.weight")
    assert torch.equal(codes * scale.repeat_interleave(32, 1), expected) and (scale < 0).any()
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert model(torch.tensor([[0, 2, 3]])).logits.isfinite().all()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert tokenizer.tokenize("the thing<s>") == ["the", "Ġ", "th", "ing", "<s>"]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1)


def test_a_block_of_zeros_shares_any_scale() -> None:
    layer = read_layer(GgufFile(MIXED), "blk.0.attn_k.weight")
    assert not layer.codes[0].any() and layer.shared_scale().tolist() == [0.0625]


@pytest.mark.parametrize(
    "at, to, complaint",
    [
        (0, b"GGML", "does not start with GGUF"),
        (4, b"\0\0\0\3", "expected version 2 or 3, little-endian, got 50331648"),
        (8, b"\xff" * 8, "expected 1 to 4 dimensions"),
        (16, b"\xff" * 8, "truncated"),
        (b"general.architecture", b"\x0d", "unknown type 13"),
        (b"blk.0.attn_q.weight", b"\0", "attn_q.weight': expected 1 to 4 dimensions, got 0"),
        (
            b"blk.0.attn_q.weight\2\0\0\0",
            b"\1",
            "attn_q.weight': expected TQ1_0 rows of a multiple of 256, got",
        ),
        (b"blk.0.attn_q.weight" + bytes([2, 0, 0, 0, 0, 1, *[0] * 6, 64, *[0] * 7]), b"\7", "got number 7"),
        (
            b"blk.0.attn_q.weight" + bytes([2, 0, 0, 0, 0, 1, *[0] * 6]),
            b"\0\0\0\x7f",
            "attn_q.weight': expected bytes",
        ),
        (b"llama.block_count\4\0\0\0", b"\2", "has no model.layers.1"),
        (b"llama.attention.head_count\4\0\0\0", b"\0", "llama.attention.head_count to be a positive"),
    ],
)
def test_broken_header_is_named(at: int | bytes, to: bytes, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError) as raised:
        import_gguf(changed(tmp_path, at, to), tmp_path / "out")
    assert complaint in str(raised.value) and "changed.gguf" in str(raised.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("bits, shown", [(b"\x00\x7e", "nan"), (b"\x00\x7c", "inf")])
def test_scale_that_is_not_finite_is_named(bits: bytes, shown: str, tmp_path: Path) -> None:
    place = GgufFile(MIXED).tensors["blk.0.attn_v.weight"].begin + 18  # the second block of the first row
    with pytest.raises(ExportError, match=f"blk.0.attn_v.weight: .*got {shown} in row 0, block 1"):
        import_gguf(changed(tmp_path, place, bits), tmp_path / "out")


def test_byte_that_is_no_ternary_code_is_named(tmp_path: Path) -> None:
    place = GgufFile(MIXED).tensors["blk.0.attn_k.weight"].begin
    with pytest.raises(ExportError, match="blk.0.attn_k.weight: holds a code of 2"):
        import_gguf(changed(tmp_path, place, b"\xff"), tmp_path / "out")


def test_truncated_at_any_length(tmp_path: Path) -> None:
    data = MIXED.read_bytes()
    for length in [*range(0, 4000, 97), len(data) - 1]:
        (tmp_path / "cut.gguf").write_bytes(data[:length])
        with pytest.raises(ExportError, match="cut.gguf"):
            GgufFile(tmp_path / "cut.gguf")


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 2600), byte=st.integers(0, 255))
def test_any_changed_header_is_read_or_refused(
    at: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = changed(tmp_path_factory.mktemp("any"), at, bytes([byte]))
    try:
        gguf = GgufFile(path)
        for name in gguf.tensors:
            read_plain(gguf, name)
    except ExportError as error:
        assert "changed.gguf" in str(error)
