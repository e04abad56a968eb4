"""What goes into the repositories: cards, licences, videos, and no trace of the machine."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from support.finished_run import ASKED, OPTIONS, TRAINED

from nep.download.parquet_videos import extract_parquet
from nep.errors import InputError
from nep.files import read_json, read_jsonl, sha256_of_file, write_json
from nep.model_manifest import model_manifest
from nep.publish import video_shards
from nep.publish.bundle import Bundle
from nep.publish.licence import IDENTIFIERS, read_licence
from nep.publish.stage import Order, make_bundles, ordered
from nep.publish.video_shards import PublishedVideo, write_shards
from nep.records.parse import parse_files

PATTERN = "videos/*.parquet"


@pytest.fixture
def bundles(run: Path) -> Callable[[Order], dict[str, Bundle]]:
    """Makes what is ordered of the run."""
    return lambda order: make_bundles(run, order, ordered(run, order))


def header_of(bundle: Bundle) -> dict:
    return yaml.safe_load(bundle.files["README.md"].read_text().split("---\n")[1])


def text_of(bundle: Bundle) -> str:
    return bundle.files["README.md"].read_text().split("---\n", 2)[2]


def test_the_hub_licences_are_known_and_others_are_named() -> None:
    assert {"apache-2.0", "mit", "cc-by-nc-4.0", "other"} <= set(IDENTIFIERS) and "unknown" not in IDENTIFIERS
    assert len(set(IDENTIFIERS)) == len(IDENTIFIERS)
    assert read_licence("mit", None, None).header == {"license": "mit"}
    assert read_licence("other", "qwen-research", "https://example.org/licence").header == {
        "license": "other",
        "license_name": "qwen-research",
        "license_link": "https://example.org/licence",
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("Apache 2.0", None, None), r"no such licence; did you mean 'apache-2\.0'\?"),
        (("free", None, None), "no such licence; "),
        (("", None, None), "no such licence; take one of its list"),
        (("other", "mine", "LICENSE"), "say which one with --license-name and --license-link"),
        (("other", "mine", None), "say which one with --license-name and --license-link"),
        (("mit", "mine", None), "belong to 'other'"),
    ],
)
def test_a_licence_that_the_hub_does_not_know_is_refused(options: tuple, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_licence(*options)


def test_a_model_card_says_how_the_model_is_used(bundles, order) -> None:
    (bundle,) = bundles(order()).values()
    assert header_of(bundle)["pipeline_tag"] == "video-text-to-text"
    used = yaml.safe_load(text_of(bundle).split("```yaml\n")[1].split("```")[0])
    assert used["model"] == {"kind": "hub", "repo": "ada/lamps", "revision": "main"}
    assert used["vision"]["frames"] == 32


def test_a_data_card_lists_what_load_dataset_finds(bundles, order) -> None:
    for with_videos in (False, True):
        (bundle,) = bundles(order("data", with_videos=with_videos)).values()
        configs = {row["config_name"]: row["data_files"] for row in header_of(bundle)["configs"]}
        assert ("videos" in configs) == with_videos
        paths = {file["path"] for files in configs.values() for file in files}
        tables = {PATTERN if name.startswith("videos/") else name for name in bundle.files if name.endswith(".parquet")}
        assert paths == tables
        assert ("next_event_prediction.json" in bundle.files) == with_videos
        assert ("are not in this repository" in text_of(bundle)) != with_videos


def test_a_published_data_set_reads_as_the_records_it_came_from(bundles, run, order, tmp_path: Path) -> None:
    (bundle,) = bundles(order("data", with_videos=True)).values()
    (shard,) = [file for name, file in bundle.files.items() if name.startswith("videos/")]
    members = extract_parquet(shard, tmp_path / "videos", tmp_path / "work")
    assert {member.path: member.sha256 for member in members} == {
        path: sha256_of_file(run / "download/videos" / path) for path in (*TRAINED, ASKED)
    }
    read = parse_files(
        bundle.files["next_event_prediction.json"], bundle.files["futurebench.json"], tmp_path / "videos"
    )
    assert not read.rejected
    for name, rows in (("records", read.records), ("questions", read.questions)):
        kept = read_jsonl(run / f"records/{name}.jsonl")
        assert sorted((row.to_json() for row in rows), key=lambda row: row["id"]) == kept


def test_a_benchmark_holds_what_is_shown_and_nothing_of_what_comes_after(bundles, run, order, tmp_path: Path) -> None:
    (bundle,) = bundles(order("benchmark", with_videos=True)).values()
    (question,) = read_json(bundle.files["futurebench.json"])
    (row,) = read_jsonl(run / "convert/futurebench.jsonl")
    assert question["video_path"] == "first_part_video/street/c.mp4"
    assert question["qa"] == {"Question": row["question"], "Options": OPTIONS, "Answer": "B"}
    (shard,) = [file for name, file in bundle.files.items() if name.startswith("videos/")]
    (member,) = extract_parquet(shard, tmp_path / "videos", tmp_path / "work")
    assert (member.path, member.sha256) == (question["video_path"], sha256_of_file(run / row["video"]))
    assert pq.read_table(bundle.files["data/futurebench/test.parquet"])["video"].to_pylist() == [member.path]
    read = parse_files(
        bundle.files["next_event_prediction.json"], bundle.files["futurebench.json"], tmp_path / "videos"
    )
    assert [row.id for row in read.questions] == ["q-1"] and not read.rejected
    assert [record.already_cut for record in read.records] == [True]
    assert "1 multiple-choice questions about 1 videos" in text_of(bundle)


def test_without_questions_there_is_no_benchmark(bundles, run, order) -> None:
    (run / "convert/futurebench.jsonl").write_text("")
    with pytest.raises(InputError, match="the run has no benchmark to publish"):
        bundles(order("benchmark"))
    assert "benchmark" not in ordered(run, order("all"))


def videos(folder: Path, count: int = 5) -> list[PublishedVideo]:
    folder.mkdir(exist_ok=True)
    made = []
    for number in range(count):
        file = folder / f"{number}.mp4"
        file.write_bytes(bytes([number]) * 1000)
        made.append(PublishedVideo(f"v/{number}.mp4", file, sha256_of_file(file), f"id-{number}", "demo", 1.5))
    return made


def test_videos_are_dealt_to_files_of_a_size_and_the_same_ones_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_shards, "SHARD_BYTES", 2500)
    monkeypatch.setattr(video_shards, "GROUP_BYTES", 1000)
    rows = videos(tmp_path / "files")
    files = write_shards(reversed(rows), tmp_path / "out")
    assert list(files) == [f"videos/whole-0000{number}.parquet" for number in range(3)]
    assert [pq.ParquetFile(file).num_row_groups for file in files.values()] == [2, 2, 1]
    assert [path for file in files.values() for path in pq.read_table(file)["path"].to_pylist()] == [
        row.path for row in rows
    ]
    times = {file: file.stat().st_mtime_ns for file in files.values()}
    assert {file: file.stat().st_mtime_ns for file in write_shards(rows, tmp_path / "out").values()} == times
    again = write_shards(rows, tmp_path / "again")
    assert [file.read_bytes() for file in again.values()] == [file.read_bytes() for file in files.values()]
    assert len(write_shards(rows[:2], tmp_path / "out")) == 1


def test_a_video_that_fits_into_no_cell_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_shards, "LARGEST_VIDEO_BYTES", 999)
    with pytest.raises(InputError, match=r"0\.mp4: 1000 bytes; a table of videos holds 999"):
        write_shards(videos(tmp_path / "files"), tmp_path / "out")


@pytest.mark.parametrize("trace", [str(Path.home() / "models/base"), str(Path.cwd()), "{tmp}/base"])
def test_a_path_of_this_machine_is_not_published(bundles, run, order, tmp_path: Path, trace: str) -> None:
    path = trace.format(tmp=tmp_path)
    Path(tmp_path / "base").mkdir()
    write_json(run / "nep/grpo/model/config.json", {"model_type": "qwen2_5_vl", "_name_or_path": path})
    write_json(run / "nep/grpo/manifest.json", model_manifest(run / "nep/grpo/model"))
    (run / "report/cards/nep-grpo/README.md").touch()
    with pytest.raises(InputError, match=r"^config\.json \(.*\): holds '/.*which is of this machine"):
        bundles(order())


def test_a_path_of_this_machine_in_a_table_is_not_published(bundles, run, order, tmp_path: Path) -> None:
    file = run / "convert/sft/next_event.json"
    rows = json.loads(file.read_text())
    rows[0]["messages"][1]["content"] = f"See {tmp_path}."
    write_json(file, rows)
    manifest = read_json(run / "convert/manifest.json")
    manifest["files"]["sft/next_event.json"]["sha256"] = sha256_of_file(file)
    write_json(run / "convert/manifest.json", manifest)
    with pytest.raises(InputError, match=rf"data/next_event/train\.parquet .*holds '{tmp_path}"):
        bundles(order("data"))


def test_prose_is_no_trace(bundles, run, order) -> None:
    card = run / "report/cards/nep-grpo/README.md"
    card.write_text(
        card.read_text()
        + "Answers stand in <answer></answer>; 1/2 of /nowhere/at/all and /usr/bin.\n"
        + f"a{Path.home()}/b\n"
    )
    assert bundles(order())
