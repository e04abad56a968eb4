"""Publishing with the hub's own client to a hub on this machine."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from huggingface_hub import HfApi
from support.entry_points import ROOT, run_script
from support.finished_run import ASKED, CARD, write_finished_run
from support.hub_server import Cut, HubFile, Status
from support.writable_hub import READER, WRITER, Account, Hold, WritableHub

from nep.errors import InputError
from nep.files import read_json, sha256_of_file, write_json
from nep.model_manifest import model_manifest
from nep.publish.stage import publish, show_plan

ALWAYS = [Cut(1000)] * 6


def writes(hub: WritableHub) -> list[str]:
    """Paths of the requests that could change something."""
    return [request.path for request in hub.requests if request.method in ("POST", "PUT")]


def weights(run: Path) -> str:
    """Under which name the hub keeps the weights."""
    return sha256_of_file(run / "nep/grpo/model/model.safetensors")


def test_everything_is_published_private_and_in_one_commit_each(hub, run, published, order, shown) -> None:
    records = [read_json(path) for path in published(order("all", with_videos=True))]
    assert [(row["kind"], row["repo"]) for row in records] == [
        ("dataset", "ada/lamps"),
        ("dataset", "ada/lamps-benchmark"),
        ("model", "ada/lamps"),
    ]
    assert [path.name for path in sorted((run / "publish").iterdir())] == [
        "benchmark.json",
        "data.json",
        "model-nep-grpo.json",
    ]
    for row in records:
        repository = hub.find(row["kind"], row["repo"])
        assert repository.private and len(repository.commits) == 2
        assert repository.revisions["main"] == row["revision"]
        assert {name: len(file.content) for name, file in repository.files.items() if name != ".gitattributes"} == row[
            "files"
        ]
        card = yaml.safe_load(repository.files["README.md"].content.decode().split("---\n")[1])
        assert card["license"] == "cc-by-4.0"
        assert any(row["revision"] in line for line in shown)
    model = hub.find("model", "ada/lamps").files
    for path in (run / "nep/grpo/model").iterdir():
        assert model[path.name].content == path.read_bytes()
    assert b"datasets:\n- ada/lamps\n" in model["README.md"].content
    assert records[2]["configuration"] == {
        "model": {"kind": "hub", "repo": "ada/lamps", "revision": records[2]["revision"]}
    }
    assert records[0]["configuration"]["source"]["archives"] == ["videos/*.parquet"]


def test_a_second_call_sends_nothing_and_commits_nothing(hub, run, published, order) -> None:
    (first,) = published(order())
    before, commit = len(writes(hub)), read_json(first)["revision"]
    (second,) = published(order())
    assert read_json(second)["revision"] == commit
    assert len(writes(hub)) == before


def test_a_dry_run_lists_files_and_what_the_hub_has_and_sends_nothing(hub, run, api, published, order, shown) -> None:
    show_plan(run, order(), api, shown.append)
    assert "hub model ada/lamps (private, cc-by-4.0): 3 files, 160.6 kB; 160.6 kB to send" in shown[0]
    assert f"new       {'160.1 kB':>8}  model.safetensors" in shown[0]
    assert not writes(hub) and not (run / "publish").exists()
    published(order())
    write_json(run / "nep/grpo/model/config.json", {"model_type": "qwen2_vl"})
    write_json(run / "nep/grpo/manifest.json", model_manifest(run / "nep/grpo/model"))
    (run / "report/cards/nep-grpo/README.md").write_text(CARD)
    before = len(writes(hub))
    show_plan(run, order(), api, shown.append)
    states = {line.split()[-1]: line.split()[0] for line in shown[-1].splitlines()[1:]}
    assert states == {"config.json": "changed", "README.md": "there", "model.safetensors": "there"}
    assert len(writes(hub)) == before


def test_a_connection_that_is_cut_once_is_taken_up_by_the_client(hub, run, published, order) -> None:
    hub.upload_faults = [Cut(50_000)]
    published(order())
    assert hub.find("model", "ada/lamps").files["model.safetensors"].content == hub.objects[weights(run)]


def test_after_a_lost_connection_only_what_is_missing_is_sent(hub, run, published, order) -> None:
    wanted = order("data", with_videos=True)
    hub.upload_faults = [None, None, *ALWAYS * 20]
    with pytest.raises(InputError, match=r"hub dataset ada/lamps: Error while uploading '.*the same command goes on"):
        published(wanted)
    repository = hub.find("dataset", "ada/lamps")
    assert list(repository.files) == [".gitattributes"], "readers see nothing of what is not complete"
    kept = set(hub.objects)
    sent = {oid: hub.received[oid] for oid in kept}
    assert len(kept) == 2
    hub.upload_faults = []
    published(wanted)
    assert len(hub.objects) > 2 and len(repository.commits) == 2
    assert {oid: hub.received[oid] for oid in kept} == sent


def test_after_a_kill_in_the_middle_of_an_upload_only_what_is_missing_is_sent(hub, run, order) -> None:
    hold = Hold()
    hub.upload_faults = [None, hold]
    words = ["--run", run.name, "--what", "data", "--to", "ada/lamps", "--license", "mit"]
    (run.parent / "results").mkdir()
    run.rename(run.parent / "results" / run.name)
    environment = {"HF_ENDPOINT": hub.url, "HF_TOKEN": WRITER, "HF_HUB_DISABLE_XET": "1"}
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    command = [sys.executable, ROOT / "scripts/publish.py", *words]
    with subprocess.Popen(command, cwd=run.parent, env=inherited | environment, stdout=subprocess.DEVNULL) as process:
        assert hold.reached.wait(60)
        process.send_signal(signal.SIGKILL)
    hold.over.set()
    kept = {oid: hub.received[oid] for oid in hub.objects}
    assert kept and list(hub.find("dataset", "ada/lamps").files) == [".gitattributes"]
    done = subprocess.run(
        command, cwd=run.parent, env=inherited | environment, capture_output=True, text=True, check=True
    )
    assert "published at" in done.stdout and WRITER not in done.stdout + done.stderr
    assert {oid: hub.received[oid] for oid in kept} == kept
    assert len(hub.find("dataset", "ada/lamps").commits) == 2


def test_a_commit_whose_answer_is_lost_is_found_by_the_next_call(hub, run, published, order) -> None:
    hub.commit_faults = [Cut(0)]
    with pytest.raises(InputError, match=r"hub model ada/lamps: .*the same command goes on"):
        published(order())
    assert not (run / "publish").exists()
    before = sum(hub.received.values())
    (record,) = published(order())
    repository = hub.find("model", "ada/lamps")
    assert read_json(record)["revision"] == repository.revisions["main"]
    assert len(repository.commits) == 2 and sum(hub.received.values()) == before


def test_large_files_go_in_parts(run, order, shown, hub, api) -> None:
    hub.part_bytes = 70_000
    publish(run, order(), api, shown.append)
    assert len([path for path in writes(hub) if path.endswith(("/1", "/2", "/3"))]) == 3
    assert weights(run) in hub.objects


@pytest.mark.parametrize(
    ("token", "repo", "words"),
    [
        ("hf_of_nobody", "ada/lamps", r"the hub refuses the token \(401\)"),
        (READER, "ada/lamps", "the token of ada may only read"),
        (WRITER, "bob/lamps", r"the token of ada has not the right to make it \(403\)"),
        (WRITER, "bob/shared", r"the token of ada has not the right to write to it \(403\)"),
    ],
)
def test_a_token_without_the_right_is_refused_before_anything_is_sent(
    hub, run, order, shown, token: str, repo: str, words: str
) -> None:
    hub.create("model", "bob/shared", private=False)
    with pytest.raises(InputError, match=f"hub model {repo}: {words}") as refused:
        publish(run, order(repo=repo), HfApi(endpoint=hub.url, token=token), shown.append)
    assert token not in str(refused.value)
    assert set(writes(hub)) <= {"/api/repos/create"} and not hub.received


def test_without_a_token_nothing_is_begun(hub, run, order, shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.hf_api.get_token", lambda: None)
    with pytest.raises(InputError, match="no token; set HF_TOKEN"):
        publish(run, order(), HfApi(endpoint=hub.url), shown.append)
    assert not hub.requests


def test_a_right_that_is_lost_during_the_upload_is_said(hub, run, published, order) -> None:
    hub.upload_faults = [Status(403)]
    with pytest.raises(InputError, match=r"has not the right to write to it \(403\)"):
        published(order())


def test_what_is_public_already_is_added_to_only_when_asked(hub, run, published, order) -> None:
    hub.create("model", "ada/lamps", private=False)
    with pytest.raises(InputError, match="is there and public; say --public"):
        published(order())
    assert not writes(hub)
    published(order(public=True))


def test_public_repositories_are_made_when_asked(hub, published, order) -> None:
    published(order(public=True))
    assert not hub.find("model", "ada/lamps").private


def test_what_is_private_already_is_not_made_public_here(hub, published, order) -> None:
    hub.create("model", "ada/lamps", private=True)
    with pytest.raises(InputError, match="is there and private; leave out --public"):
        published(order(public=True))
    assert not writes(hub)


def test_leftovers_of_an_earlier_publication_go_and_other_files_stay(hub, published, order) -> None:
    repository = hub.create("model", "ada/lamps")
    for name in ("model-00001-of-00002.safetensors", "figure.png"):
        repository.files[name] = HubFile(b"old")
    published(order())
    files = set(hub.find("model", "ada/lamps").files)
    assert files == {".gitattributes", "README.md", "config.json", "model.safetensors", "figure.png"}


def test_two_who_publish_at_once_do_not_mix(hub, run, api, order, shown) -> None:
    def somebody_else_commits(text: str) -> None:
        repository = hub.find("model", "ada/lamps")
        repository.commits["f" * 40] = {"other.txt": HubFile(b"")}
        repository.revisions["main"] = "f" * 40

    with pytest.raises(InputError, match=r"somebody else changed it meanwhile \(412\)"):
        publish(run, order(), api, somebody_else_commits)


def test_the_page_is_put_up_as_a_space(hub, run, published, order) -> None:
    with pytest.raises(InputError, match=r"space/README\.md: missing"):
        published(order("space"))
    (run / "space").mkdir()
    (run / "space/README.md").write_text("---\nsdk: gradio\ntitle: Lamps\n---\n# Lamps\n")
    (run / "space/app.py").write_text("print('page')\n")
    published(order("space"))
    files = hub.find("space", "ada/lamps").files
    assert files["app.py"].content == b"print('page')\n"
    assert b"license: cc-by-4.0" in files["README.md"].content


def test_a_model_of_several_is_named(tmp_path: Path, hub, api, order, shown) -> None:
    run = write_finished_run(tmp_path / "two", ("a/sft", "b/sft"))
    with pytest.raises(InputError, match=r"say which with --model: a-sft, b-sft"):
        publish(run, order(), api, shown.append)
    publish(run, order(model="b-sft"), api, shown.append)
    assert (run / "publish/model-b-sft.json").is_file()
    with pytest.raises(InputError, match=r"--model 'c-sft': the run has a-sft, b-sft"):
        publish(run, order(model="c-sft"), api, shown.append)


def test_what_is_not_complete_is_not_published(hub, run, published, order) -> None:
    (run / "nep/grpo/model/config.json").write_text("{}")
    with pytest.raises(InputError, match=r"model/config\.json: not the file of .*manifest\.json"):
        published(order())
    (run / "convert/sft/next_event.json").write_text("[]")
    with pytest.raises(InputError, match=r"next_event\.json: not the file of .*manifest\.json"):
        published(order("data"))
    (run / "download/videos" / ASKED).write_bytes(b"")
    (run / "report/cards/nep-grpo/README.md").unlink()
    write_json(run / "nep/grpo/manifest.json", model_manifest(run / "nep/grpo/model"))
    with pytest.raises(InputError, match=r"cards/nep-grpo/README\.md: missing; the report writes the card"):
        published(order())
    assert not hub.received


def test_videos_that_changed_are_not_published(hub, run, published, order) -> None:
    (run / "download/videos" / ASKED).write_bytes(b"")
    with pytest.raises(InputError, match=r"not the 3 videos of .*videos\.json"):
        published(order("data", with_videos=True))
    assert not hub.received


def test_a_card_of_an_older_model_is_not_published(hub, run, published, order) -> None:
    card = run / "report/cards/nep-grpo/README.md"
    os.utime(card, (0, 0))
    with pytest.raises(InputError, match="older than the model; the report writes the card"):
        published(order())


def test_nothing_is_published_of_no_run_or_to_no_repository(hub, run, api, order, shown) -> None:
    with pytest.raises(InputError, match="no such run"):
        publish(run.with_name("other"), order(), api, shown.append)
    with pytest.raises(InputError, match="a repository is OWNER/NAME"):
        publish(run, order(repo="lamps"), api, shown.append)
    with pytest.raises(InputError, match="nothing to publish yet"):
        publish(run / "report", order("all"), api, shown.append)
    assert not hub.requests


def test_accounts_write_to_their_organisations(run, order, shown, hub) -> None:
    hub.accounts["hf_org"] = Account("eve", owners=("lab",))
    publish(run, order(repo="lab/lamps"), HfApi(endpoint=hub.url, token="hf_org"), shown.append)
    assert hub.find("model", "lab/lamps")


def test_the_command_takes_the_name_of_a_run() -> None:
    words = ["--run", "../lamps", "--what", "all", "--to", "ada/lamps", "--license", "mit", "--dry-run"]
    done = run_script("publish.py", *words)
    assert done.returncode == 2 and "--run '../lamps': the name of a run" in done.stderr
