import pytest

from zeta.data.documents import Document
from zeta.data.plan import PlannedShard, plan_shards

MIB = 2**20


def documents(sizes: list[int]) -> list[Document]:
    return [Document(f"file:///{i:04d}", size, f"{i:064x}", 0, f"{i:04d}") for i, size in enumerate(sizes)]


@pytest.mark.parametrize(
    "sizes", [[10], [MIB] * 5, [MIB // 2] * 9, [3 * MIB, 1, MIB, 5 * MIB], [2 * MIB] * 200]
)
def test_every_document_is_in_one_shard_in_order(sizes: list[int]) -> None:
    train = documents(sizes)
    shards = plan_shards({"train": train[::-1], "validation": []})
    assert [document for shard in shards for document in shard.documents] == train
    assert [shard.path for shard in shards] == [f"train/part-{i:05d}.parquet" for i in range(len(shards))]
    assert len(shards) <= 2 * 64 + 1
    limit = max(MIB, sum(sizes) // 64)
    assert all(shard.size <= limit or len(shard.documents) == 1 for shard in shards)


def test_splits_do_not_mix() -> None:
    shards = plan_shards({"train": documents([1, 2]), "validation": documents([3])})
    assert [(shard.path, shard.size) for shard in shards] == [
        ("train/part-00000.parquet", 3),
        ("validation/part-00000.parquet", 3),
    ]


def test_key_names_all_that_decides_the_bytes() -> None:
    first, other = documents([1, 2])
    keys = {
        PlannedShard("train/part-00000.parquet", [first]).key("tokenizer"),
        PlannedShard("train/part-00000.parquet", [first]).key("another"),
        PlannedShard("train/part-00000.parquet", [other]).key("tokenizer"),
        PlannedShard("train/part-00001.parquet", [first]).key("tokenizer"),
        PlannedShard("train/part-00000.parquet", [first, other]).key("tokenizer"),
    }
    assert len(keys) == 5


def test_json_round_trip_keeps_names_that_are_not_utf8() -> None:
    name = b"\xff odd".decode("utf-8", "surrogateescape")
    shard = PlannedShard("train/part-00000.parquet", [Document("file:///%FF%20odd", 1, "0" * 64, 0, name)])
    assert PlannedShard.from_json(shard.to_json()) == shard
