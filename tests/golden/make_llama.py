"""Build tiny LlamaForCausalLM folders and what transformers answers on them.

    python tests/golden/make_llama.py OUTPUT

writes OUTPUT/{dense,dense_bf16,ternary,ternary_bitlinear,int4,w4a8,int2,int8,fp8}: Hugging Face folders with a
byte-level BPE tokenizer and a chat template, packed by transformers' and compressed-tensors' own packers, never by
ours.
Each also holds `expected.safetensors`: `prompt` (p), `logits` (p, vocab) of every prompt position,
and `greedy` (24), all computed by transformers on the packed folder; of int2, int8 and fp8, whose activations
transformers rounds otherwise or not at all, by `Rounded` below in its place. `OUTPUT/complete` is written last and
names the version of this script, which does nothing when it is up to date.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ["TORCHDYNAMO_DISABLE"] = (
    "1"  # the bitnet integration compiles itself; tiny models need no compiler
)
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.integrations.bitnet import pack_weights
from transformers.utils import logging

SEED = 20240611
NEW_TOKENS = 24
PROMPT = "the quick brown fox"
GROUP_SIZE = 32
BOS, EOS = "<|bos|>", "<|eos|>"
# The greedy continuation must not hang on rounding: at each step the two best logits differ by this share of the
# logits' spread, or the next seed is tried. (bf16 logits tie too often for that; theirs is not to be compared.)
MARGIN = {torch.float32: 2e-3, torch.bfloat16: 0.0}
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
State = dict[str, torch.Tensor]


def make_tokenizer(folder: Path) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=288,
        special_tokens=[AddedToken(BOS, special=True), AddedToken(EOS, special=True)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        ["the quick brown fox jumps over the lazy dog; then the dog sleeps"] * 4, trainer
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, tokenizer.token_to_id(BOS))]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": BOS,
                "eos_token": EOS,
                "chat_template": CHAT_TEMPLATE,
            }
        )
    )
    return tokenizer


def config_for(tokenizer: Tokenizer, **overrides: object) -> LlamaConfig:
    settings: dict[str, object] = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "bos_token_id": tokenizer.token_to_id(BOS),
        "eos_token_id": tokenizer.token_to_id(EOS),
        "architectures": ["LlamaForCausalLM"],
        "initializer_range": 0.2,
        "dtype": "float32",
    }
    return LlamaConfig(**{**settings, **overrides})


def is_packed(name: str) -> bool:
    return name.endswith("_proj.weight")


def keep_dense(state: State, config: dict[str, object]) -> State:
    return state


def to_bf16(state: State, config: dict[str, object]) -> State:
    config["dtype"] = "bfloat16"
    return {name: tensor.bfloat16() for name, tensor in state.items()}


def ternary(linear_class: str) -> Callable[[State, dict[str, object]], State]:
    def pack(state: State, config: dict[str, object]) -> State:
        config["quantization_config"] = {
            "quant_method": "bitnet",
            "linear_class": linear_class,
            "quantization_mode": "offline",
            "modules_to_not_convert": ["lm_head"],
        }
        out: State = {}
        for name, weight in state.items():
            if not is_packed(name):
                out[name] = weight
                continue
            beta = weight.abs().mean().clamp(min=1e-5)
            out[name] = pack_weights((weight / beta).round().clamp(-1, 1))
            out[name + "_scale"] = (beta if linear_class == "autobitlinear" else 1 / beta).reshape(1)
        return out

    return pack


def int4(state: State, config: dict[str, object]) -> State:
    weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": GROUP_SIZE}
    config["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
        "ignore": ["lm_head"],
    }
    out: State = {}
    for name, weight in state.items():
        if not is_packed(name):
            out[name] = weight
            continue
        rows, columns = weight.shape
        groups = weight.view(rows, columns // GROUP_SIZE, GROUP_SIZE)
        scale = (groups.abs().amax(-1) / 7.5).bfloat16().float()
        codes = (groups / scale[..., None]).round().clamp(-8, 7).to(torch.int8).view(rows, columns)
        out[name + "_packed"] = pack_to_int32(codes, 4)
        out[name + "_scale"] = scale
        out[name + "_shape"] = torch.tensor([rows, columns])
    return out


def w4a8(state: State, config: dict[str, object]) -> State:
    out = int4(state, config)
    numbers = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
    group = config["quantization_config"]["config_groups"]["group_0"]  # type: ignore[index]
    group |= {"input_activations": numbers, "format": "pack-quantized"}
    return out


def rows(precision: str) -> Callable[[State, dict[str, object]], State]:
    """A scale for each output; docs/design/foundation.md has the formulas."""

    def pack(state: State, config: dict[str, object]) -> State:
        numbers = {"num_bits": 8, "type": "float" if precision == "fp8" else "int", "symmetric": True}
        group = {
            "targets": ["Linear"],
            "weights": numbers | {"strategy": "channel", "dynamic": False},
            "input_activations": numbers | {"strategy": "token", "dynamic": True},
        }
        config["quantization_config"] = {
            "quant_method": "compressed-tensors",
            "format": "float-quantized" if precision == "fp8" else "int-quantized",
            "config_groups": {"group_0": group},
            "ignore": ["lm_head"],
        }
        if precision == "int2":
            ours = {"quant_method": "zeta", "format": "int2", "modules_to_not_convert": ["lm_head"]}
            config["quantization_config"] = ours
        out: State = {}
        for name, weight in state.items():
            if not is_packed(name):
                out[name] = weight
                continue
            greatest = weight.abs().amax(-1, keepdim=True)
            if precision == "int2":
                scale = (weight.abs().mean(-1, keepdim=True) * 0.625).bfloat16().float()
                digits = (weight / (2 * scale)).floor().clamp(-2, 1) + 2
                out[name] = sum(part.to(torch.uint8) << 2 * i for i, part in enumerate(digits.chunk(4)))
            elif precision == "int8":
                scale = (greatest / 127.5).bfloat16().float()
                out[name] = (weight / scale).round().clamp(-128, 127).to(torch.int8)
            else:
                scale = (greatest / 448).bfloat16().float()
                out[name] = (weight / scale).clamp(-448, 448).to(torch.float8_e4m3fn)
            out[name + "_scale"] = scale
        return out

    return pack


class Rounded(torch.nn.Module):
    """A linear layer of such a folder, in plain torch."""

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.fp8 = weight.dtype == torch.float8_e4m3fn
        if weight.dtype == torch.uint8:
            weight = torch.cat([(weight >> shift & 3) * 2.0 - 3 for shift in (0, 2, 4, 6)])
        self.codes, self.scale, self.bias = weight.double(), scale, bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        greatest = x.abs().amax(-1, keepdim=True)
        if self.fp8:
            step = greatest / 448
            y = ((x / step).to(torch.float8_e4m3fn).double() @ self.codes.T).float() * step * self.scale.T
        else:
            s = 127 * (1 / greatest.clamp(min=1e-5))
            y = ((x * s).round().double() @ self.codes.T).float() * (self.scale.T / s)
        return y if self.bias is None else y + self.bias


def load_rounded(folder: Path) -> LlamaForCausalLM:
    config = LlamaConfig.from_pretrained(folder)
    del config.quantization_config
    model = LlamaForCausalLM._from_config(config, attn_implementation="eager").eval()
    state = load_file(folder / "model.safetensors")
    for name in [name for name in state if is_packed(name)]:
        parent, _, child = name.removesuffix(".weight").rpartition(".")
        layer = Rounded(
            state.pop(name), state.pop(f"{name}_scale"), state.pop(f"{parent}.{child}.bias", None)
        )
        setattr(model.get_submodule(parent), child, layer)
    if config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    return model


LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
FOLDERS: dict[str, tuple[Callable[[State, dict[str, object]], State], dict[str, object]]] = {
    "dense": (keep_dense, {"attention_bias": True, "mlp_bias": True, "rope_parameters": LLAMA3_ROPE}),
    "dense_bf16": (to_bf16, {"tie_word_embeddings": True}),
    "ternary": (ternary("autobitlinear"), {"attention_bias": True}),
    "ternary_bitlinear": (ternary("bitlinear"), {"attention_bias": True, "tie_word_embeddings": True}),
    "int4": (int4, {"mlp_bias": True, "num_key_value_heads": 1}),
    "w4a8": (w4a8, {"attention_bias": True}),
    "int2": (rows("int2"), {"attention_bias": True}),
    "int8": (rows("int8"), {"mlp_bias": True, "tie_word_embeddings": True}),
    "fp8": (rows("fp8"), {"attention_bias": True}),
}


def write_folder(folder: Path, tokenizer: Tokenizer, seed: int) -> None:
    pack, overrides = FOLDERS[folder.name]
    config = config_for(tokenizer, **overrides)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    settings = config.to_dict()
    state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        del state["lm_head.weight"]
    packed = pack(state, settings)
    save_file({n: t.contiguous() for n, t in packed.items()}, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(settings, indent=1))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [config.eos_token_id]}))


@torch.no_grad()
def expected(folder: Path, prompt: list[int]) -> State | None:
    """What transformers answers; None when the greedy choice is too close to call or ends early."""
    if folder.name in ("int2", "int8", "fp8"):
        model = load_rounded(folder)
    else:
        model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    ids = list(prompt)
    for _ in range(NEW_TOKENS):
        logits = model(torch.tensor([ids])).logits[0].float()
        best = logits[-1].topk(2)
        spread = logits[-1].max() - logits[-1].min()
        close = best.values[0] - best.values[1] < MARGIN[model.dtype] * spread
        if close or best.indices[0] == model.config.eos_token_id:
            return None
        ids.append(int(best.indices[0]))
    return {
        "prompt": torch.tensor(prompt, dtype=torch.int32),
        "logits": logits[: len(prompt)].contiguous(),
        "greedy": torch.tensor(ids[len(prompt) :], dtype=torch.int32),
    }


def main(output: Path) -> None:
    version = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    complete = output / "complete"
    if complete.is_file() and complete.read_text() == version:
        return
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    for name in FOLDERS:
        folder = output / name
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer = make_tokenizer(folder)
        for seed in range(SEED, SEED + 200):
            write_folder(folder, tokenizer, seed)
            answer = expected(folder, tokenizer.encode(PROMPT).ids)
            if answer is not None:
                break
        else:
            raise SystemExit(f"{name}: no seed gives a greedy continuation with a clear margin")
        save_file(answer, folder / "expected.safetensors")
        print(f"{name}: seed {seed}")
    complete.write_text(version)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
