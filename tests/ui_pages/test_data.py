"""The Data page's answers: cards, numbers, findings and fixes, pictures, captions, code; on real folders."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image, ImageDraw

from backend.data import user_code
from ui import quick_plan
from ui.context import AppContext, Services
from ui.pages.data import DataPage, props

Snapshot = dict[str, Any]
LONG = ", ".join(["a cat on a mat in the sun"] * 30)


def picture(path: Path, width: int, height: int, seed: int) -> None:
    image = Image.new("RGB", (width, height), (seed * 20 % 255, 90, 160))
    draw = ImageDraw.Draw(image)
    for number in range(6):
        x, y = (seed * 37 + number * 53) % width, (seed * 61 + number * 29) % height
        draw.rectangle((x, y, x + width // 4, y + height // 5), fill=(number * 40, seed * 9 % 255, 30))
    image.save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data 数据"
    (folder / "cats").mkdir(parents=True)
    (folder / "class").mkdir()
    for number in range(30):
        wide = number % 3 == 0
        picture(folder / "cats" / f"cat, {number:02}.png", 96 if wide else 64, 48 if wide else 64, number)
        if number != 4:
            text = LONG if number == 5 else f"a cat, tag{number % 4}, <b>bold</b>"
            (folder / "cats" / f"cat, {number:02}.txt").write_text(text, encoding="utf-8")
    for number in range(4):
        picture(folder / "class" / f"{number}.png", 64, 64, 50 + number)
    return folder


@pytest.fixture
def page(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> DataPage:
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path / "home"))
    services = Services.create(tmp_path / "home" / "runs")
    rows = [
        {"path": str(folder / "cats"), "num_repeats": 2},
        {"path": str(folder / "class"), "role": "regularization", "class_tokens": "a cat"},
    ]
    data = quick_plan.with_values(quick_plan.demo(), {"data.datasets": rows, "data.width": 64, "data.height": 64})
    services.draft.replace(quick_plan.with_values(data, {"data.enable_bucket": False}))
    return DataPage(AppContext(services, "en", gr.Blocks()))


def ready(page: DataPage, **request: Any) -> Snapshot:
    for _ in range(200):
        snapshot = page.snapshot(request)
        if snapshot["view"]:
            json.dumps(snapshot)  # as it is sent
            return snapshot
        time.sleep(0.05)
    raise AssertionError("no report")


def finding(snapshot: Snapshot, code: str) -> dict[str, Any]:
    found = [each for each in snapshot["view"]["findings"] if each["code"] == code]
    assert found, [each["code"] for each in snapshot["view"]["findings"]]
    return found[0]


def rows(page: DataPage) -> list[dict[str, Any]]:
    return quick_plan.datasets(page.context.draft.data)


def test_cards_say_what_a_data_set_is_and_how_much_of_it_is_seen(page: DataPage) -> None:
    cats, others = ready(page)["cards"]
    assert (cats["title"], cats["role"], cats["kind"], cats["images"]) == ("cats", "training", "folder", 30)
    assert (others["role"], others["images"], others["level"]) == ("regularization", 4, "")
    assert cats["samples"] == 60 and round(cats["share"] + others["share"]) == 100
    assert cats["level"] == "warning" and cats["pictures"] == [0, 1, 2, 3] and others["pictures"] == [30, 31, 32, 33]


def test_the_steps_are_those_that_the_trainer_counts(page: DataPage) -> None:
    snapshot = ready(page)
    findings = page.finder.find(page.context.draft.data)
    assert findings.plan is not None
    assert str(findings.plan.count.total_steps) in snapshot["view"]["arithmetic"][0]
    assert {fact["label"]: fact["value"] for fact in snapshot["view"]["numbers"]["facts"]}["Pictures"] == "34"


def test_one_data_set_shows_its_own_numbers_and_findings(page: DataPage) -> None:
    ready(page)
    everything, others = ready(page)["view"], ready(page, selected="1")["view"]
    assert sum(bar["count"] for bar in others["numbers"]["aspects"]) == 4
    assert len(others["findings"]) < len(everything["findings"])
    assert page.snapshot({"selected": "7"})["selected"] == "all", "a data set that is no more"


def test_a_fix_changes_the_draft_says_so_and_is_taken_back(page: DataPage) -> None:
    found = finding(ready(page), "captions_missing")
    assert found["level"] == "warning" and found["num"] == 1 and found["pictures"] == [4]
    answer = page.fix({"finding": found["number"], "code": found["code"], "fix": 0})
    assert rows(page)[0]["exclude"] == ["cat, 04.png"]
    assert answer["done"] == ["Left out: 0 entries → 1 entry"]
    assert ready(page)["cards"][0]["images"] == 29
    page.undo(answer["undo"])
    assert "exclude" not in rows(page)[0] and ready(page)["cards"][0]["images"] == 30


def test_a_fix_of_a_report_that_is_out_of_date_does_nothing(page: DataPage) -> None:
    found = finding(ready(page), "captions_missing")
    before = page.context.draft.data
    for stale in ({"code": "captions_long"}, {"fix": 9}, {"finding": 99}):
        page.fix({"finding": found["number"], "code": found["code"], "fix": 0, **stale})
    assert page.context.draft.data == before


def test_data_sets_are_added_copied_moved_turned_off_removed_and_brought_back(page: DataPage) -> None:
    answer = page.add({})
    assert answer["selected"] == "2" and rows(page)[2] == {"path": ""}
    answer = page.add({"copy": 0})
    assert answer["selected"] == "1" and rows(page)[1] == {**rows(page)[0], "name": "cats (copy)"}
    assert page.move({"index": 1, "by": -1})["selected"] == "0" and rows(page)[0]["name"] == "cats (copy)"
    assert page.move({"index": 0, "by": -1})["selected"] == "0", "the first stays the first"
    page.set_row({"index": 0, "row": {**rows(page)[0], "enabled": False}})
    assert rows(page)[0]["enabled"] is False and page.snapshot({})["cards"][0]["enabled"] is False
    before = rows(page)
    answer = page.remove({"index": 0})
    assert "cats (copy)" in answer["done"][0] and len(rows(page)) == 3
    page.undo(answer["undo"])
    assert rows(page) == before


def test_the_form_of_a_data_set_is_read_as_on_the_expert_page(page: DataPage) -> None:
    typed = {**rows(page)[0], "num_repeats": "3", "crop": "corner", "flip_augmentation": "", "exclude": "a, b"}
    snapshot = page.set_row({"index": 0, "row": typed, "selected": "0"})
    assert rows(page)[0] == {"path": typed["path"], "num_repeats": 3, "crop": "corner", "exclude": ["a", "b"]}
    assert snapshot["rows"][0] == rows(page)[0] and snapshot["values"]["data.crop"] == "center"


def test_pictures_are_paged_and_found_by_text_tag_and_size(page: DataPage) -> None:
    ready(page)
    first = page.pictures({})
    assert first["num"] == 34 and len(first["pictures"]) == 24
    assert len(page.pictures({"offset": 24})["pictures"]) == 10
    assert page.pictures({"selected": "1"})["num"] == 4
    assert page.pictures({"wanted": {"text": "CAT, 07"}})["num"] == 1
    assert page.pictures({"wanted": {"tag": "tag1"}})["num"] == 7
    assert page.pictures({"wanted": {"tag": "tag"}})["num"] == 0, "a tag is a whole tag"
    bars = ready(page)["view"]["numbers"]["aspects"]
    for bar in bars:
        wanted = {"of": bar["of"], "low": bar["low"], "high": bar["high"]}
        assert page.pictures({"wanted": wanted})["num"] == bar["count"]


def test_names_of_a_finding_are_paged(page: DataPage) -> None:
    page.context.draft.set("data.trigger_word", "zkz")
    found = next(each for each in ready(page)["view"]["findings"] if each["num"] > 20)
    first = page.names({"finding": found["number"], "code": found["code"], "offset": 0})
    rest = page.names({"finding": found["number"], "code": found["code"], "offset": 20})
    assert first["num"] == found["num"] == 20 + len(rest["names"])
    assert first["names"][0]["name"].startswith("cats/") and first["names"][0]["record"] is not None


def test_crops_show_what_is_kept(page: DataPage) -> None:
    crops = ready(page)["view"]["numbers"]["crops"]
    assert len(crops) == 10 and {crop["percent"] for crop in crops} == {50}
    assert (crops[0]["width"], crops[0]["height"], crops[0]["left"], crops[0]["top"]) == (50, 100, 25, 0)
    page.context.draft.set("data.crop", "corner")
    assert ready(page)["view"]["numbers"]["crops"][0]["left"] == 0
    page.context.draft.set("cache.latents", "off")
    page.context.draft.set("data.crop", "random")
    assert not ready(page)["view"]["numbers"]["crops"][0]["is_exact"]


def test_captions_are_drawn_as_the_model_sees_them(page: DataPage) -> None:
    page.context.draft.set("data.shuffle_caption", True)
    page.context.draft.set("data.trigger_word", "zkz")
    page.context.draft.set("data.keep_tokens", 1)
    ready(page)
    answer = page.captions({"record": 7})
    texts = [draw["text"] for draw in answer["draws"]]
    assert len(texts) == 12 and len(set(texts)) > 1 and all(text.startswith("zkz, ") for text in texts)
    assert answer["written"] == ["a cat, tag3, <b>bold</b>"] and answer["limit"] == 75
    assert all(draw["tokens"] > 75 for draw in page.captions({"record": 5})["draws"]), "too long for the encoder"
    assert page.captions({"record": 30})["draws"][0]["text"] == "zkz, a cat"


def test_one_picture_is_left_out_by_name(page: DataPage) -> None:
    ready(page)
    answer = page.exclude({"record": 2})
    assert rows(page)[0]["exclude"] == ["cat, 02.png"] and ready(page)["cards"][0]["images"] == 29
    page.undo(answer["undo"])
    assert "exclude" not in rows(page)[0]


def test_code_is_shown_with_its_hash_and_runs_once_it_was_confirmed(page: DataPage, tmp_path: Path) -> None:
    code = tmp_path / "my code.py"
    code.write_text("def num_repeats(img_key, img_md, **kwargs):\n    return 5\n", encoding="utf-8")
    page.set_row({"index": 0, "row": {**rows(page)[0], "code_path": str(code)}})
    shown = ready(page, selected="0")
    assert shown["code"] == {"path": str(code), "sha256": user_code.hash_of(code), "trusted": False, "error": ""}
    assert finding(shown, "code_untrusted")["level"] == "error"
    assert page.start({})["failed"], "refused while the code is not confirmed"
    page.trust({"path": str(code), "sha256": "of another content"})
    assert not user_code.is_trusted(code)
    page.trust({"path": str(code), "sha256": shown["code"]["sha256"]})
    assert ready(page, selected="0")["code"]["trusted"] and ready(page)["cards"][0]["samples"] == 150
    code.write_text("raise SystemExit", encoding="utf-8")
    assert not page.snapshot({"selected": "0"})["code"]["trusted"], "another content has to be confirmed again"
    code.unlink()
    assert page.snapshot({"selected": "0"})["code"]["error"]


def test_a_start_is_refused_on_errors_and_confirmed_on_warnings(page: DataPage) -> None:
    ready(page)
    asked = page.start({"queue": True})
    assert asked["warnings"] and "run" not in asked and not list(page.context.queue.runs_dir.glob("2*"))
    assert page.start({"queue": True, "confirmed": True})["run"]
    page.set_row({"index": 0, "row": {"path": "/no/such/folder"}})
    refused = page.start({"queue": True, "confirmed": True})
    assert refused["failed"] and refused["blocked"]


def test_refused_values_are_told_in_place_of_a_report(page: DataPage) -> None:
    page.context.draft.set("training.batch_size", "many")
    snapshot = page.snapshot({})
    assert snapshot["view"] is None and snapshot["waiting"] is None
    assert [problem["path"] for problem in snapshot["problems"]] == ["training.batch_size"]


def test_an_empty_draft_offers_the_demo(page: DataPage) -> None:
    page.context.draft.replace({})
    assert page.snapshot({})["cards"] == []
    page.example()
    assert ready(page)["cards"][0]["images"] == 22


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_the_page_has_all_its_words(page: DataPage, language: str) -> None:
    context = AppContext(page.context.services, language, page.context.blocks)
    for name, text in props(context)["texts"].items():
        assert not text.startswith(("dataroom.", "expert.", "start.")), name


def test_a_data_set_file_is_one_card_with_its_parts(page: DataPage, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "sets.toml"
    lines = [
        "[[datasets]]",
        "resolution = 64",
        "[[datasets.subsets]]",
        f"image_dir = {json.dumps(str(folder / 'cats'))}",
        "num_repeats = 3",
        "[[datasets.subsets]]",
        f"image_dir = {json.dumps(str(folder / 'class'))}",
        'is_reg = true\nclass_tokens = "a cat"',
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    page.set_row({"index": 0, "row": {"path": str(file)}})
    cards = ready(page)["cards"]
    assert [card["key"] for card in cards] == ["0", "0.0", "0.1", "1"]
    assert [card["images"] for card in cards] == [34, 30, 4, 4] and cards[0]["kind"] == "sd-scripts file"
    assert cards[0]["samples"] == cards[1]["samples"] + cards[2]["samples"]
    assert (cards[1]["level"], cards[2]["role"]) == ("warning", "regularization")
    part = ready(page, selected="0.1")
    assert part["selected"] == "0.1" and page.pictures({"selected": "0.1"})["num"] == 4


def test_the_rules_of_all_data_sets_are_set_without_touching_the_others(page: DataPage) -> None:
    shown = ready(page)["values"]
    typed = {name.removeprefix("data."): value for name, value in shown.items() if name.startswith("data.")}
    del typed["datasets"]
    page.context.draft.set("data.crop", "corner")
    before = page.context.draft.data
    page.set_general({"values": {**typed, "crop": "corner"}})
    assert page.context.draft.data == before, "nothing was changed"
    page.set_general({"values": {**typed, "crop": "corner", "keep_tokens": "2", "resolutions": "64, 128"}})
    changed = page.context.draft.data["data"]
    assert {name: value for name, value in changed.items() if before["data"].get(name) != value} == {
        "keep_tokens": 2,
        "resolutions": [64, 128],
    }
