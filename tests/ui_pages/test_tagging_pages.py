"""What the pages that start taggers ask of the server: what lacks captions, downloads, a run of some pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
import tiny_taggers
from huggingface_hub import constants
from PIL import Image

from backend.config.root import parse
from backend.data.scan import scan
from backend.runs.layout import RunFolder
from taggers.config import TaggingConfig, load
from taggers.launching import Download, new_run, to_download
from taggers.teller import Teller
from ui import captions_tagging, quick_plan, tagging_runs
from ui.context import AppContext, Services
from ui.pages.captions import CaptionsPage
from ui.quick_tagging import QuickTagging, Wanted, wanted

Data = dict[str, Any]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "cats"
    for name in ("a.png", "b.png", "3_zkz/c.png", "other/d.png", "masks/a.png"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32)).save(path)
    (folder / "a.txt").write_text("mine", encoding="utf-8")
    return folder


@pytest.fixture
def context(home: Path) -> Iterator[AppContext]:
    services = Services.create(home / "runs")
    services.queue.pause(True)
    yield AppContext(services, "en", gr.Blocks())
    services.desks.close_all()


def wanted_of(*rows: Data, **data: Any) -> Wanted | None:
    config, problems = parse({"data": {"datasets": list(rows), **data}})
    assert config is not None, problems
    return wanted(scan(config.data))


@pytest.mark.usefixtures("home")
def test_only_what_is_learned_from_and_has_nothing_to_be_learned_with_is_tagged(folder: Path) -> None:
    found = wanted_of({"path": str(folder)}, trigger_word="zkz")
    assert found == Wanted((folder,), ("b.png",), 3, ".txt", "zkz"), "c has its folder's name, others are not read"
    found = wanted_of({"path": str(folder), "recursive": True, "mask_dir": str(folder / "masks")})
    assert found is not None and found.names == ("b.png", "other/d.png")
    assert wanted_of({"path": str(folder), "class_tokens": "cat"}) is None
    assert wanted_of({"path": str(folder), "caption_source": "filename"}) is None
    assert wanted(None) is None


@pytest.mark.usefixtures("home")
def test_data_sets_that_are_written_alike_are_tagged_together(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "dogs"
    other.mkdir()
    Image.new("RGB", (32, 32)).save(other / "x.png")
    found = wanted_of({"path": str(folder)}, {"path": str(other)})
    assert found is not None and found.folders == (folder, other) and found.names == ("b.png", "x.png")
    found = wanted_of({"path": str(folder)}, {"path": str(other), "caption_extension": ".caption"})
    assert found is not None and found.folders == (folder,)


def test_the_quick_page_starts_one_run_and_takes_it_out_of_the_queue(context: AppContext, folder: Path) -> None:
    data = quick_plan.with_folder({}, str(folder))
    context.draft.replace(data)
    findings, quick = context.finder.find(data), QuickTagging(context)
    assert quick.look(findings).can_start
    quick.start(findings)
    quick.start(findings)
    (run,) = context.watch.runs()
    config = load(run.config_path)
    assert (config.folders, config.pictures, config.on_existing) == ([str(folder)], ["b.png"], "skip")
    part = quick.look(None)
    assert part.is_shown and not part.can_start and "the queue is paused" in part.html
    quick.stop()
    assert not context.watch.runs() and quick.look(findings).can_start


def test_what_will_be_downloaded_is_known_before(home: Path, tmp_path: Path) -> None:
    place = home / "models" / "taggers" / "wd-vit-tagger-v3"
    missing = to_download("wd-vit-tagger-v3")
    assert missing == Download("WD ViT v3", "SmilingWolf/wd-vit-tagger-v3", 379, is_offline=True, folder=place)
    assert to_download("somebody/tagger") is not None
    tiny_taggers.wd(place)
    assert to_download("wd-vit-tagger-v3") is None
    assert to_download(str(tiny_taggers.wd(tmp_path / "mine"))) is None


def test_a_download_is_announced_with_its_size(
    context: AppContext, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings, quick = context.finder.find(quick_plan.with_folder({}, str(folder))), QuickTagging(context)
    assert "downloads are switched off" in quick.look(findings).html
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    html = quick.look(findings).html
    assert "379 MB" in html and "downloaded once" in html


def test_selected_or_filtered_pictures_are_named_in_the_run(context: AppContext, folder: Path) -> None:
    page = CaptionsPage(context)
    tools = captions_tagging.TaggingTools(context, page._scope)

    def ask(method: str, **request: Any) -> Data:
        return getattr(tools, method)({"folder": str(folder), **request})

    def config_of(answer: Data) -> TaggingConfig:
        return load(RunFolder(context.queue.runs_dir / answer["run"]).config_path)

    typed = {"model": "no/such", "general_threshold": "0.5", "excluded_tags": "a, b", "dry_run": True}
    config = config_of(ask("tag", values=typed, scope="shown", filter="untagged"))
    assert sorted(config.pictures) == ["3_zkz/c.png", "b.png", "masks/a.png", "other/d.png"]
    assert (config.general_threshold, config.excluded_tags, config.dry_run) == (0.5, ["a", "b"], False)
    assert config_of(ask("tag", values={}, scope="all")).pictures == []
    assert "error" in ask("tag", values={}, scope="shown", filter="tag:nothing")
    refused = ask("tag", values={"general_threshold": "7", "gpu_ids": "cuda", "replacements": "a - b"}, scope="all")
    assert refused["error"].startswith("Threshold: 7 is too large") and " Cards: “cuda” names no" in refused["error"]
    assert ask("tag", values={"replacements": "a - b"}, scope="all")["error"].startswith("Replacements: “a - b” is no")
    assert ask("tag_facts", model="wd-vit-tagger-v3")["is_offline"]


def test_a_preview_is_no_run_of_the_folder_and_is_thrown_away(context: AppContext, folder: Path) -> None:
    tools = captions_tagging.TaggingTools(context, CaptionsPage(context)._scope)
    where = {"folder": str(folder)}
    run = tools.tag({**where, "values": {}, "scope": "all", "preview": True})["run"]
    assert load(RunFolder(context.queue.runs_dir / run).config_path).dry_run
    assert tools.tagging_state(where) == {"state": None}
    assert tools.tag_preview({**where, "run": run})["state"]["is_going_on"]
    tools.tag_stop({"run": run, "preview": True})
    assert not context.watch.runs()


def test_runs_meet_when_one_folder_is_in_the_other(context: AppContext, folder: Path) -> None:
    run = new_run(TaggingConfig(folders=[str(folder / "other")]), context.queue.runs_dir)
    scores = new_run(TaggingConfig(folders=[str(folder)], model="cafe-aesthetic"), context.queue.runs_dir, "zzz")
    assert tagging_runs.newest(context.watch, [folder]) == scores
    assert tagging_runs.newest(context.watch, [folder], writes_captions=True) == run
    assert tagging_runs.newest(context.watch, [folder / "masks"], writes_captions=True) is None


@pytest.mark.parametrize(
    ("model", "title", "text"),
    [
        ("wd-vit-tagger-v3", "Tagging", "Tagging is done. Captions written: 3."),
        ("isnet-anime", "Removing backgrounds", "Backgrounds are removed. Masks written: 3."),
        ("cafe-aesthetic", "Looking at the pictures", "Done. Pictures looked at: 3."),
    ],
)
def test_a_run_is_told_as_what_it_does(context: AppContext, folder: Path, model: str, title: str, text: str) -> None:
    run = new_run(TaggingConfig(folders=[str(folder)], model=model), context.queue.runs_dir)
    teller = Teller(run)
    teller.start()
    teller.tagged(written=3, skipped=0, failed=0, device="cpu")
    teller.end("finished")
    told = tagging_runs.told(context.watch, context.queue, run, "en")
    assert (told["title"], told["text"]) == (title, text)


def test_models_of_the_users_own_are_known_by_what_lies_beside_them(tmp_path: Path) -> None:
    masks = tmp_path / "mine.onnx"
    masks.write_bytes(b"x")
    assert tagging_runs.kind_of({"model": str(masks)}) == "background"
    assert tagging_runs.kind_of({"model": str(tiny_taggers.wd(tmp_path / "tagger"))}) == "onnx"
    assert tagging_runs.kind_of({"model": str(tmp_path / "gone.onnx")}) == ""
    assert tagging_runs.kind_of({}) == "onnx"
