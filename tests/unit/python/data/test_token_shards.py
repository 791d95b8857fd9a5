import hashlib
import subprocess
import sys
from pathlib import Path

import numpy
import pyarrow
import pytest
from pyarrow import parquet

from zeta.data import DataError, TokenShards
from zeta.data.local_store import LocalStore
from zeta.data.manifest import Manifest, Shard, TokenizerInfo
from zeta.data.tokenizer_folder import TokenizerFolder

# 400 tokens, 0…399 in stored order, in documents of 10: every token says where it stands.
NUM_TOKENS = 400
SPLITS = {"train": range(0, 360), "validation": range(360, 400)}


def write_shard(folder: Path, path: str, tokens: range) -> Shard:
    documents = [list(tokens[begin : begin + 10]) for begin in range(0, len(tokens), 10)]
    table = pyarrow.table(
        {
            "document": [f"file:///{document[0]}" for document in documents],
            "tokens": pyarrow.array(documents, pyarrow.list_(pyarrow.int32())),
        }
    )
    (folder / path).parent.mkdir(exist_ok=True)
    parquet.write_table(table, folder / path, row_group_size=7)
    data = (folder / path).read_bytes()
    return Shard(path, len(documents), len(tokens), len(data), hashlib.sha256(data).hexdigest())


@pytest.fixture
def shards(tmp_path: Path, tokenizer_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZETA_CACHE_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "shards"
    folder.mkdir()
    store = LocalStore(str(folder))
    tokenizer = TokenizerFolder.load(str(tokenizer_folder))
    tokenizer.write(store, "tokenizer")
    written = [
        write_shard(folder, "train/part-00000.parquet", SPLITS["train"][:200]),
        write_shard(folder, "train/part-00001.parquet", SPLITS["train"][200:]),
        write_shard(folder, "validation/part-00000.parquet", SPLITS["validation"]),
    ]
    counts = {split: len(tokens) for split, tokens in SPLITS.items()}
    info = TokenizerInfo(tokenizer.sha256, 0)
    Manifest("f" * 64, {}, [], info, NUM_TOKENS, written, counts).write(store)
    return folder


def test_tokens_are_flat_and_in_stored_order(shards: Path) -> None:
    for split, expected in SPLITS.items():
        tokens = TokenShards(shards).tokens(split)
        assert tokens.dtype == numpy.int32
        assert tokens.tolist() == list(expected)


@pytest.mark.parametrize("seq_len", [1, 7, 16, 359])
def test_an_epoch_predicts_every_token_at_most_once(shards: Path, seq_len: int) -> None:
    reader = TokenShards(shards)
    blocks = list(reader.blocks("train", seq_len))
    assert len(blocks) == 359 // seq_len
    for block in blocks:
        assert block.dtype == numpy.int32
        assert block.tolist() == list(range(block[0], block[0] + seq_len + 1))
    targets = sorted(token for block in blocks for token in block[1:])
    assert targets == list(range(1, 1 + 359 // seq_len * seq_len))


def first_tokens(blocks: object) -> list[int]:
    return [int(block[0]) for block in blocks]  # type: ignore[attr-defined]


def test_order_is_pinned(shards: Path) -> None:
    """A checkpoint resumes inside an epoch, so the order may never change, on any machine or version."""
    order = [first // 36 for first in first_tokens(TokenShards(shards).blocks("train", 36, seed=1, epoch=2))]
    assert order == [6, 1, 0, 8, 2, 5, 4, 3, 7]


def test_order_depends_on_seed_and_epoch(shards: Path) -> None:
    reader = TokenShards(shards)
    orders = {
        tuple(first_tokens(reader.blocks("train", 4, seed=seed, epoch=epoch)))
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9
    assert len({tuple(sorted(order)) for order in orders}) == 1


@pytest.mark.parametrize("world_size", [1, 2, 3, 5, 8])
def test_ranks_take_turns_in_one_order(shards: Path, world_size: int) -> None:
    reader = TokenShards(shards)
    whole = first_tokens(reader.blocks("train", 4, seed=3))
    ranks = [first_tokens(reader.blocks("train", 4, rank, world_size, seed=3)) for rank in range(world_size)]
    dealt = [first for turn in zip(*ranks, strict=True) for first in turn]
    assert dealt == whole[: len(whole) // world_size * world_size]


def test_resume_goes_on_where_all_ranks_stopped_even_with_fewer_ranks(shards: Path) -> None:
    reader = TokenShards(shards)
    whole = first_tokens(reader.blocks("train", 4, seed=3))
    assert first_tokens(reader.blocks("train", 4, seed=3, start=30)) == whole[30:]
    ranks = [first_tokens(reader.blocks("train", 4, rank, 2, seed=3, start=30)) for rank in range(2)]
    assert ranks == [whole[30:88:2], whole[31:89:2]]
    assert len(reader.blocks("train", 4, start=len(whole))) == 0


def test_length_counts_what_is_left(shards: Path) -> None:
    blocks = TokenShards(shards).blocks("train", 4)
    before = len(blocks)
    next(blocks)
    assert len(blocks) == before - 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"seq_len": 0}, "expected seq_len ≥ 1, got 0"),
        ({"seq_len": 4, "rank": 2, "world_size": 2}, "expected 0 ≤ rank < world_size = 2, got 2"),
        ({"seq_len": 4, "start": 90}, "expected 0 ≤ start ≤ 89 blocks, got 90"),
        ({"seq_len": 360}, "360 tokens give 0 blocks of seq_len 360, fewer than 1 ranks"),
        ({"seq_len": 300, "world_size": 2}, "360 tokens give 1 blocks of seq_len 300, fewer than 2 ranks"),
    ],
)
def test_arguments_out_of_range_are_refused(shards: Path, arguments: dict[str, int], complaint: str) -> None:
    with pytest.raises(DataError, match=f"^train of file://.*: {complaint}"):
        TokenShards(shards).blocks("train", **arguments)


def test_an_unknown_split_is_refused(shards: Path) -> None:
    with pytest.raises(DataError, match=r"expected a split of \['train', 'validation'\], got 'test'"):
        TokenShards(shards).tokens("test")


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no manifest.json: .*run it again"):
        TokenShards(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "a web application"}', '{"version": 1}'])
def test_a_foreign_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match="manifest.json is not a manifest of token shards, .*delete this one"):
        TokenShards(tmp_path)


def test_a_manifest_of_another_version_is_refused(shards: Path) -> None:
    manifest = shards / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(DataError, match="expected version 1, got 2"):
        TokenShards(shards)


def test_a_manifest_round_trips(shards: Path) -> None:
    manifest = Manifest.read(LocalStore(str(shards)))
    assert manifest is not None
    before = (shards / "manifest.json").read_bytes()
    manifest.write(LocalStore(str(shards)))
    assert (shards / "manifest.json").read_bytes() == before


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(data[:-1])
    else:
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])


@pytest.mark.parametrize("how", ["missing", "truncated", "foreign"])
def test_a_damaged_shard_is_named_when_it_is_needed(shards: Path, tmp_path: Path, how: str) -> None:
    damage(shards / "train" / "part-00001.parquet", how)
    reader = TokenShards(shards)
    assert reader.tokens("validation").tolist() == list(SPLITS["validation"])
    for _ in range(2):
        with pytest.raises(DataError, match=f"train/part-00001.parquet.*({how}|No such file)"):
            reader.tokens("train")
    assert not list((tmp_path / "cache").rglob("train*"))


def test_a_shard_of_other_length_than_the_manifest_says_is_refused(shards: Path) -> None:
    manifest = shards / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"tokens": 200', '"tokens": 300'))
    with pytest.raises(DataError, match=r"train/part-00000.parquet is foreign: .* 300 tokens, it has 200"):
        TokenShards(shards).tokens("train")


def test_a_truncated_cache_is_made_again(shards: Path, tmp_path: Path) -> None:
    TokenShards(shards).tokens("train")
    (cached,) = (tmp_path / "cache").rglob("train*")
    cached.write_bytes(cached.read_bytes()[:-4])
    assert TokenShards(shards).tokens("train").tolist() == list(SPLITS["train"])


def test_another_tokenizer_is_refused(shards: Path) -> None:
    reader = TokenShards(shards)
    assert reader.tokenizer_path == shards / "tokenizer"
    (shards / "tokenizer" / "chat_template.jinja").write_text("changed")
    with pytest.raises(DataError, match="tokenizer is not the tokenizer of these shards"):
        TokenShards(shards).tokenizer_path  # noqa: B018


def test_importing_the_reader_is_light() -> None:
    code = (
        "import sys, zeta.data; print(sorted({'ray', 'pyarrow', 'tokenizers', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
