import json
import pickle
from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeta.data import tokenizer_folder as module
from zeta.data.byte_level_bpe import END_OF_TEXT, train_byte_level_bpe
from zeta.data.errors import DataError
from zeta.data.tokenizer_folder import TokenizerFolder

TEXTS = [path.read_text() for path in sorted(Path(json.__file__).parent.glob("*.py"))]
TRAINED = train_byte_level_bpe(TEXTS, 600)


@settings(deadline=None)
@given(st.text())
def test_any_text_round_trips(text: str) -> None:
    ids = TRAINED.encode(text)
    assert ids.dtype == numpy.int32
    assert TRAINED.tokenizer.decode(ids[:-1].tolist(), skip_special_tokens=False) == text


def test_a_document_ends_in_one_end_of_text_and_cannot_forge_another() -> None:
    ids = TRAINED.encode(f"one{END_OF_TEXT}two")
    assert (ids == TRAINED.eos_token_id).nonzero()[0].tolist() == [len(ids) - 1]


def test_training_depends_on_the_texts_alone() -> None:
    assert train_byte_level_bpe(iter(TEXTS[::-1]), 600).files == TRAINED.files
    assert train_byte_level_bpe(TEXTS[:-1], 600).sha256 != TRAINED.sha256


def test_vocabulary_is_what_was_asked_for_or_less() -> None:
    assert TRAINED.vocab_size == 600
    assert train_byte_level_bpe(["tiny"], 600).vocab_size == 257
    with pytest.raises(DataError, match="expected vocab_size ≥ 257 .* got 256"):
        train_byte_level_bpe(TEXTS, 256)


def test_a_copy_in_another_process_encodes_the_same() -> None:
    TRAINED.tokenizer  # noqa: B018 - parsed before it is copied
    copy = pickle.loads(pickle.dumps(TRAINED))
    text = f"special {END_OF_TEXT}"
    assert copy.sha256 == TRAINED.sha256
    assert copy.encode(text).tolist() == TRAINED.encode(text).tolist()


def test_a_long_text_in_pieces_gives_the_same_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(TEXTS)
    whole = TRAINED.encode(text)
    monkeypatch.setattr(module, "_PIECE_CHARACTERS", 100)
    assert TRAINED.encode(text).tolist() == whole.tolist()


def test_transformers_loads_it(tokenizer_folder: Path) -> None:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(tokenizer_folder)
    ours = TokenizerFolder.load(str(tokenizer_folder))
    assert loaded.eos_token == loaded.bos_token == loaded.pad_token == END_OF_TEXT
    assert loaded.eos_token_id == ours.eos_token_id
    assert loaded(TEXTS[0])["input_ids"] == ours.encode(TEXTS[0])[:-1].tolist()
    assert loaded.decode(loaded("naïve  ☃\n")["input_ids"]) == "naïve  ☃\n"
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes"},
        {"role": "user", "content": "Why?"},
    ]
    prompt = loaded.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert prompt == "System: Be brief.\n\nUser: Hi\n\nAssistant: Yes<|endoftext|>User: Why?\n\nAssistant: "


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, "there is no tokenizer.json"),
        ({"tokenizer.json": b"{"}, "tokenizer.json does not parse"),
        ({"tokenizer.json": TRAINED.files["tokenizer.json"]}, "names no end-of-text token"),
        ({**TRAINED.files, "tokenizer_config.json": b"{"}, "tokenizer_config.json does not parse"),
        (
            {**TRAINED.files, "tokenizer_config.json": b'{"eos_token": "<x>"}'},
            "eos_token '<x>' is not in the vocab",
        ),
    ],
)
def test_an_unusable_tokenizer_is_named_with_the_reason(
    tmp_path: Path, files: dict[str, bytes], complaint: str
) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=complaint) as raised:
        TokenizerFolder.load(str(tmp_path))
    assert str(tmp_path) in str(raised.value)


def test_tokenizer_json_stands_for_its_folder(tokenizer_folder: Path) -> None:
    loaded = TokenizerFolder.load(str(tokenizer_folder / "tokenizer.json"))
    assert loaded == TokenizerFolder.load(tokenizer_folder.as_uri())
