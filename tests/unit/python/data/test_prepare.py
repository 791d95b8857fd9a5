"""Real runs: the sources of the standard library through Ray Data into a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from zeta.data import DataError, TokenShards, journal
from zeta.data.journal import FinishedShard
from zeta.data.local_store import LocalStore
from zeta.data.manifest import Manifest
from zeta.data.options import PrepareOptions
from zeta.data.plan import plan_shards
from zeta.data.prepare import prepare
from zeta.data.progress import Progress
from zeta.data.selection import Selection
from zeta.data.split import split_by_hash
from zeta.data.summary import Summary
from zeta.data.survey import survey
from zeta.data.tokenise import Pipeline
from zeta.data.tokenizer_folder import TokenizerFolder

pytestmark = pytest.mark.usefixtures("ray")


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


@pytest.fixture(scope="module")
def options(
    tmp_path_factory: pytest.TempPathFactory, json_sources: Path, email_sources: Path
) -> PrepareOptions:
    return PrepareOptions(
        inputs=[str(json_sources)],
        validation_inputs=[email_sources.as_uri()],
        output=str(tmp_path_factory.mktemp("prepared") / "shards"),
        vocab_size=500,
    )


@pytest.fixture(scope="module")
def prepared(ray: None, options: PrepareOptions) -> Summary:
    return prepare(options)


@pytest.fixture
def reader(prepared: Summary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenShards:
    monkeypatch.setenv("ZETA_CACHE_DIR", str(tmp_path / "cache"))
    return TokenShards(prepared.uri)


def texts_of(reader: TokenShards, split: str) -> list[str]:
    tokenizer = TokenizerFolder.load(str(reader.tokenizer_path)).tokenizer
    texts: list[list[int]] = [[]]
    for token in reader.tokens(split).tolist():
        if token == reader.manifest.tokenizer.eos_token_id:
            texts.append([])
        else:
            texts[-1].append(token)
    assert texts.pop() == []
    return [tokenizer.decode(ids, skip_special_tokens=False) for ids in texts]


def test_the_text_comes_back_from_the_tokens(
    reader: TokenShards, json_sources: Path, email_sources: Path
) -> None:
    for split, folder in (("train", json_sources), ("validation", email_sources)):
        selected = [
            path for path in folder.rglob("*") if path.suffix in {".py", ".rst"} and path.stat().st_size
        ]
        assert texts_of(reader, split) == [path.read_text() for path in sorted(selected)]


def test_the_manifest_counts_what_is_there(
    prepared: Summary, reader: TokenShards, json_sources: Path
) -> None:
    manifest = reader.manifest
    assert manifest.vocab_size == reader.vocab_size == 500
    assert {split: len(reader.tokens(split)) for split in manifest.tokens} == manifest.tokens
    assert sum(shard.rows for shard in manifest.shards) == len(manifest.inputs)
    source = json_sources / "decoder.py"
    assert manifest.inputs[source.as_uri()].size == source.stat().st_size
    assert prepared.new_tokens == sum(manifest.tokens.values())
    assert f"tokens     {prepared.new_tokens:,}" in str(prepared)


def test_the_folder_holds_the_contract_and_nothing_else(prepared: Summary, options: PrepareOptions) -> None:
    assert sorted(snapshot(Path(options.output))) == [
        "manifest.json",
        "tokenizer/chat_template.jinja",
        "tokenizer/special_tokens_map.json",
        "tokenizer/tokenizer.json",
        "tokenizer/tokenizer_config.json",
        "train/part-00000.parquet",
        "validation/part-00000.parquet",
    ]


def test_a_second_run_does_nothing(prepared: Summary, options: PrepareOptions) -> None:
    before = snapshot(Path(options.output))
    again = prepare(replace(options, num_cpus=1))
    assert again.nothing_to_do
    assert "nothing to do" in str(again)
    assert snapshot(Path(options.output)) == before


@pytest.mark.parametrize("change", [{"vocab_size": 400}, {"selection": Selection(exclude=["decoder.py"])}])
def test_a_changed_run_refuses(prepared: Summary, options: PrepareOptions, change: dict[str, object]) -> None:
    before = snapshot(Path(options.output))
    with pytest.raises(DataError, match="made from other inputs or options: .* --overwrite"):
        prepare(replace(options, **change))  # type: ignore[arg-type]
    assert snapshot(Path(options.output)) == before


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}.txt").write_text(f"text number {number}\n" * 20)
    return folder


@pytest.fixture
def small(corpus: Path, tmp_path: Path, tokenizer_folder: Path) -> PrepareOptions:
    return PrepareOptions(
        [str(corpus)], str(tmp_path / "out"), tokenizer=str(tokenizer_folder), validation_fraction=0.3
    )


def test_overwrite_replaces_all_of_it(small: PrepareOptions, corpus: Path, json_sources: Path) -> None:
    prepare(small)
    Path(small.output, "train", "part-00007.parquet").write_bytes(b"left over")
    (corpus / "8.txt").write_text("one more")
    fresh = replace(small, output=f"{small.output}-fresh")
    prepare(replace(small, overwrite=True))
    prepare(fresh)
    contents = [{name: data for name, (_, data) in snapshot(Path(o.output)).items()} for o in (small, fresh)]
    assert contents[0] == contents[1]


@pytest.mark.parametrize("name", ["train/part-00000.parquet", "tokenizer/tokenizer.json"])
def test_a_lost_file_is_made_again(small: PrepareOptions, name: str) -> None:
    prepare(small)
    file = Path(small.output, name)
    before = file.read_bytes()
    file.write_bytes(before[:-1])
    assert not prepare(small).nothing_to_do
    assert file.read_bytes() == before


def test_only_what_was_damaged_after_a_kill_is_made_again(small: PrepareOptions) -> None:
    summary = prepare(small)
    before = snapshot(Path(small.output))
    # The folder as a run killed just before the manifest leaves it, but for one shard.
    store = LocalStore(small.output)
    tokenizer = TokenizerFolder.read(store, "tokenizer")
    journal.open_journal(store, summary.manifest.fingerprint)
    found = survey(small.inputs, store.uri, small.selection, small.max_file_size, 1, Progress(None))
    planned = plan_shards(split_by_hash(found.documents, small.validation_fraction, small.seed))
    for shard, plan in zip(summary.manifest.shards, planned, strict=True):
        journal.note_shard(store, FinishedShard(plan.key(tokenizer.sha256), shard, []))
    store.delete("manifest.json")
    store.write("train/part-00000.parquet", b"PAR1")

    assert prepare(small).new_tokens == summary.manifest.tokens["train"]
    after = snapshot(Path(small.output))
    assert {name: data for name, (_, data) in after.items()} == {
        name: data for name, (_, data) in before.items()
    }
    kept = "validation/part-00000.parquet"
    assert after[kept] == before[kept]


def test_bad_files_are_named_and_skipped(
    small: PrepareOptions, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (corpus / "latin.txt").write_bytes(b"caf\xe9")
    (corpus / "large.txt").write_text("x" * 2000)
    (corpus / "gone.txt").symlink_to("nowhere")
    (corpus / "empty.txt").touch()
    os.mkfifo(corpus / "pipe.txt")
    summary = prepare(replace(small, max_file_size=1999), Progress(sys.stderr))
    reasons = {
        "latin": "not UTF-8 (byte 3)",
        "large": "over the size limit (2000 bytes > 1999)",
        "gone": "cannot be read: No such file or directory",
        "pipe": "not a regular file",
    }
    shown = capsys.readouterr().err
    for name, reason in reasons.items():
        assert f"skipped {(corpus / name).as_uri()}.txt: {reason}" in shown
    reasons["empty"] = "empty"
    named = {item.uri: item.reason for item in summary.manifest.skipped}
    assert named == {f"{(corpus / name).as_uri()}.txt": reason for name, reason in reasons.items()}
    assert "skipped    5 (1 " in str(summary)


def test_a_file_that_changes_or_vanishes_during_the_run_is_named(
    small: PrepareOptions, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Pipeline.run

    def run_later(self: Pipeline, shards: object) -> object:
        (corpus / "0.txt").unlink()
        (corpus / "1.txt").write_text("changed")
        return run(self, shards)  # type: ignore[arg-type]

    monkeypatch.setattr(Pipeline, "run", run_later)
    manifest = prepare(small).manifest
    assert [(item.uri[-5:], item.reason) for item in manifest.skipped] == [
        ("0.txt", "cannot be read: No such file or directory"),
        ("1.txt", "changed during the run"),
    ]
    assert len(manifest.inputs) == sum(shard.rows for shard in manifest.shards) == 6


@pytest.mark.parametrize("through_a_link", [False, True])
def test_output_inside_the_input_does_not_read_itself(
    small: PrepareOptions, corpus: Path, tmp_path: Path, through_a_link: bool
) -> None:
    (tmp_path / "link").symlink_to(corpus)
    inside = replace(small, output=str((tmp_path / "link" if through_a_link else corpus) / "shards"))
    assert len(prepare(inside).manifest.inputs) == 8
    assert prepare(inside).nothing_to_do


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    small: PrepareOptions, tmp_path: Path, email_sources: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", disk]
    if (
        os.geteuid() != 0
        or shutil.which("mount") is None
        or subprocess.run(mount, capture_output=True).returncode
    ):
        pytest.skip("mounting a small disk needs root and a kernel that lets it")
    try:
        with pytest.raises(
            DataError, match=f"^cannot write file://{disk}/.*: No space left on device; free some space.*$"
        ):
            prepare(replace(small, inputs=[str(email_sources)], output=str(disk)))
        left = snapshot(disk)
        assert "manifest.json" not in left
        assert not [name for name in left if name.endswith(".tmp")]
        assert all(data.endswith(b"PAR1") for name, (_, data) in left.items() if name.endswith(".parquet"))
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_manifest_names_no_time_and_no_order_of_work(small: PrepareOptions) -> None:
    first = prepare(small).manifest
    second = prepare(replace(small, output=f"{small.output}-two", num_cpus=1)).manifest
    assert isinstance(first, Manifest)
    assert first == second
