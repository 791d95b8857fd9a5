"""Writes the golden data of the text part with tokenizers and transformers, from corpus.txt and the chat folders.

    tools/run python tests/golden/make_text.py [OUTPUT]

The C++ tests compare against it; tests/unit/python/text/test_text_golden.py checks that it comes out the same again.
"""

import json
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoTokenizer

INPUT = Path(__file__).resolve().parent / "text"
SPECIAL = ["<unk>", "<s>", "</s>"]

TEXTS = [
    "",
    " ",
    "Hello, world",
    "  two spaces, then\ta tab\n\n\nthree lines\r\nand a Windows one  ",
    "def push(self, item: int) -> bool:\n    return len(self.items) >= 1024\n",
    "I'm sure they're right, we'VE seen; it'll cost 1234567890.5e-3",
    "天气很好，我们去河边。日本語も",
    "😀👍🏽👩‍🚀🇫🇷❤️ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "e\u0301 \u212b ﬁ ½ \u00a0\u2003\u200b|",
    "הטוחן סופר עم",
    "nul \x00 bell \x07 replacement \ufffd end",
    "<s>special</s> <unk> <|tool|> in <s> text",
    "▁ metaspace ▁▁ <0x41> <0xE4>",
    "x" * 300 + " " * 70 + "\n" * 30,
]


def byte_level(corpus: str) -> Tokenizer:
    """GPT-2's scheme."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return train(tokenizer, corpus, 560)


def byte_level_split(corpus: str) -> Tokenizer:
    """Llama 3's scheme: a longer pattern, then bytes, and a BOS before every text."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer = train(tokenizer, corpus, 400)
    tokenizer.add_tokens([AddedToken("<|tool|>", special=False, normalized=False)])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.enable_truncation(max_length=7)  # to be ignored, as transformers does
    return tokenizer


def train(tokenizer: Tokenizer, corpus: str, vocab_size: int) -> Tokenizer:
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus.splitlines(keepends=True), trainer)
    return tokenizer


def unigram(corpus: str) -> Tokenizer:
    """A sentencepiece model's pieces, by their counts: 3 special ones, 256 bytes, words and characters."""
    words = Counter("▁" + word for word in corpus.split())
    characters = Counter(c for c in corpus if c.isascii() and not c.isspace()) + Counter({"▁": 200})
    counts = Counter({word: n for word, n in words.items() if n > 1}) + characters
    total = sum(counts.values())
    pieces = [(token, 0.0) for token in SPECIAL] + [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    pieces += [(piece, round(-10 + 10 * n / total, 6)) for piece, n in sorted(counts.items())]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def byte_fallback(corpus: str) -> Tokenizer:
    """Llama 2's normalizer and decoder around it."""
    tokenizer = unigram(corpus)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def metaspace(corpus: str) -> Tokenizer:
    """T5's, with NFKC before it."""
    tokenizer = unigram(corpus)
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return tokenizer


def encodings(folder: Path) -> list[dict[str, Any]]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    cases = []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=True).ids
        cases.append(
            {
                "text": text,
                "ids": ids,
                "ids_without_special_tokens": tokenizer.encode(text, add_special_tokens=False).ids,
                "decoded": tokenizer.decode(ids, skip_special_tokens=False),
                "decoded_without_special_tokens": tokenizer.decode(ids, skip_special_tokens=True),
            }
        )
    return cases


def add_other_forms(output: Path) -> None:
    """The other places a template may stand in: a string, or one of several by name."""
    chat = output / "chat"
    for name, form in {"chatml": "string", "mistral": "named"}.items():
        template = (chat / name / "chat_template.jinja").read_text(encoding="utf-8")
        config = json.loads((chat / name / "tokenizer_config.json").read_text(encoding="utf-8"))
        other = {"name": "rag", "template": "{{ raise_exception('not this one') }}"}
        config["chat_template"] = (
            template if form == "string" else [other, {"name": "default", "template": template}]
        )
        write_json(chat / f"{name}_{form}" / "tokenizer_config.json", config)


def render(folder: Path, tokenizer_json: Path, conversations: dict[str, Any]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as temporary:
        model = shutil.copytree(folder, Path(temporary) / "model")
        shutil.copy(tokenizer_json, model)
        tokenizer = AutoTokenizer.from_pretrained(model)
    cases = []
    for name, messages in conversations.items():
        for prompt in (False, True):
            case = {"folder": folder.name, "conversation": name, "add_generation_prompt": prompt}
            try:
                rendered = tokenizer.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=prompt
                )
                cases.append(case | {"rendered": rendered})
            except Exception as error:  # whatever stops a rendering; C++ must refuse it too
                cases.append(case | {"refused": type(error).__name__})
    return cases


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def make(output: Path) -> None:
    corpus = (INPUT / "corpus.txt").read_text(encoding="utf-8")
    found = {}
    for build in (byte_level, byte_level_split, byte_fallback, metaspace):
        folder = output / build.__name__
        folder.mkdir(parents=True, exist_ok=True)
        build(corpus).save(str(folder / "tokenizer.json"), pretty=False)
        found[build.__name__] = encodings(folder)
    write_json(output / "encodings.json", found)

    if output != INPUT:
        shutil.copytree(INPUT / "chat", output / "chat", dirs_exist_ok=True)
    add_other_forms(output)
    conversations = json.loads((INPUT / "conversations.json").read_text(encoding="utf-8"))
    tokenizer_json = output / "byte_level" / "tokenizer.json"
    first = dict(list(conversations.items())[:1])
    rendered = []
    for folder in sorted((output / "chat").iterdir()):
        # The language test reads what the first conversation holds, and another form is the same template again.
        whole = folder.name != "jinja" and "_" not in folder.name
        rendered += render(folder, tokenizer_json, conversations if whole else first)
    write_json(output / "rendered.json", rendered)


if __name__ == "__main__":
    make(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else INPUT)
