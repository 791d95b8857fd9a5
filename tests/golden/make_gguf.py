"""Write the GGUF file that tests read: by the gguf package, its weights quantised by llama.cpp's own C code.

    python tests/golden/make_gguf.py GGML_LIBRARY_FOLDER tests/golden/gguf

writes `mixed.gguf`, a Llama of one small layer with a tensor of every type we read, and `digests.json`: the SHA-256
of each tensor's float32 values as the gguf package dequantises them. Needs `pip install gguf` and libggml-base.so.
"""

import ctypes
import hashlib
import json
import sys
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

HIDDEN, INNER, HEAD, VOCAB = 256, 32, 32, 40
SHAPES = {
    "token_embd.weight": (Type.Q6_K, VOCAB, HIDDEN),
    "blk.0.attn_norm.weight": (Type.F32, HIDDEN),
    "blk.0.attn_q.weight": (Type.TQ1_0, 2 * HEAD, HIDDEN),
    "blk.0.attn_k.weight": (Type.TQ2_0, HEAD, HIDDEN),
    "blk.0.attn_v.weight": (Type.Q4_0, HEAD, HIDDEN),
    "blk.0.attn_output.weight": (Type.Q8_0, HIDDEN, 2 * HEAD),
    "blk.0.ffn_norm.weight": (Type.F32, HIDDEN),
    "blk.0.ffn_gate.weight": (Type.TQ2_0, INNER, HIDDEN),
    "blk.0.ffn_up.weight": (Type.F16, INNER, HIDDEN),
    "blk.0.ffn_down.weight": (Type.BF16, HIDDEN, INNER),
    "output_norm.weight": (Type.F32, HIDDEN),
    "output.weight": (Type.Q4_K, VOCAB, HIDDEN),
}


def quantize(library: ctypes.CDLL, weight: np.ndarray, type: Type) -> np.ndarray:
    """By ggml_quantize_chunk, but for what needs none."""
    if type == Type.F32:
        return weight
    if type == Type.F16:
        return weight.astype(np.float16)
    if type == Type.BF16:
        return (weight.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8).reshape(weight.shape[0], -1)
    rows, columns = weight.shape
    packed = np.empty((rows, gguf.quant_shape_to_byte_shape(weight.shape, type)[1]), np.uint8)
    call = library.ggml_quantize_chunk
    call.restype = ctypes.c_size_t
    pointer = ctypes.c_void_p
    call.argtypes = [ctypes.c_int, pointer, pointer, *[ctypes.c_int64] * 3, pointer]
    assert call(type, weight.ctypes.data, packed.ctypes.data, 0, rows, columns, None) == packed.nbytes
    return packed


def main(libraries: Path, out: Path) -> None:
    library = ctypes.CDLL(str(libraries / "libggml-base.so"))
    out.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(str(out / "mixed.gguf"), "llama")
    writer.add_vocab_size(VOCAB)
    writer.add_context_length(64)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(1)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_rope_dimension_count(HEAD)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    letters = [chr(ord("a") + i) for i in range(26)]
    tokens = ["<s>", "</s>", *letters, "Ġ", "th", "the", "Ġthe", "in", "ing", *[f"[{i}]" for i in range(6)]]
    assert len(tokens) == VOCAB
    kinds = [3, 3] + [1] * 32 + [5] * 6
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(["t h", "th e", "Ġ the", "i n", "in g"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    random = np.random.default_rng(20261125)
    digests = {}
    for name, (type, *shape) in SHAPES.items():
        weight = (random.standard_normal(shape) * 0.08).astype(np.float32)
        if type in (Type.TQ1_0, Type.TQ2_0):
            weight = np.sign(weight) * (abs(weight) > 0.04) * np.float32(0.0625)
            weight[0, :] = 0  # a block without a scale
        packed = quantize(library, weight.astype(np.float32), type)
        writer.add_tensor(name, packed, raw_dtype=type)
        values = np.ascontiguousarray(gguf.dequantize(packed, type), np.float32)
        digests[name] = hashlib.sha256(values.tobytes()).hexdigest()
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (out / "digests.json").write_text(json.dumps(digests, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
