"""The caption page's answers, on real folders: rows, filter, edits, conflicts, batch, undo, thumbnails, tagging."""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import gradio as gr
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from backend.config.messages import languages
from ui import captions_pictures, captions_view, quick_plan
from ui.app import make_app
from ui.captions_desk import SORTS, Desk, natural_order
from ui.captions_requests import at_desk
from ui.captions_search import Searching
from ui.context import AppContext, Services
from ui.pages.captions import CaptionsPage, props

Data = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures 图片"
    folder.mkdir()
    for number in range(6):
        Image.new("RGB", (40 + number * 10, 60), (number * 40, 0, 0)).save(folder / f"{number}.png")
        if number:
            (folder / f"{number}.txt").write_text(f"cat, tag{number % 2}, <b>", encoding="utf-8")
    return folder


@pytest.fixture
def page(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CaptionsPage]:
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path / "home"))
    services = Services.create(tmp_path / "home" / "runs")
    yield CaptionsPage(AppContext(services, "en", gr.Blocks()))
    services.desks.close_all()


@pytest.fixture
def ask(page: CaptionsPage, folder: Path) -> Any:
    """Return a function that asks as the script does."""
    opened: Data = {}
    search = Searching(page.context, page.tag_words)

    def call(method: str, **request: Any) -> Data:
        where = {"folder": str(folder), "generation": opened.get("generation")}
        if method != "open" and not opened:
            opened.update(call("open"))
        if opened:
            where["generation"] = opened["generation"]
        answer = getattr(page if hasattr(page, method) else search, method)({**where, **request})
        json.dumps(answer)  # as it is sent
        return answer

    while "generation" not in opened:
        opened.update(page.open({"folder": str(folder)}))
    return call


def rows_of(answer: Data) -> list[int]:
    return np.frombuffer(base64.b64decode(answer["ids"]), "<i4").tolist()


def view(ask: Any, text: str = "", sort: str = "name") -> list[int]:
    return rows_of(ask("view", filter=text, sort=sort))


def edit(ask: Any, row: int, before: str, text: str) -> Data:
    return ask("edit", edits=[{"row": row, "text": text, "before": before}])


def test_a_folder_is_told_and_what_is_wrong_with_it_in_plain_words(ask: Any, page: CaptionsPage, folder: Path) -> None:
    answer = ask("open")
    assert (answer["num"], answer["folder"], answer["notes"]) == (6, str(folder), [])
    assert "There is no folder" in page.open({"folder": str(folder / "none")})["error"]
    assert "is a file" in page.open({"folder": str(folder / "1.txt")})["error"]
    (folder / "broken.png").write_bytes(b"no picture")
    answer = page.open({"folder": str(folder), "again": True})
    while "waiting" in answer:
        answer = page.open({"folder": str(folder)})
    assert len(answer["notes"]) == 1 and "broken.png" in answer["notes"][0]


def test_rows_carry_what_the_grid_and_the_editor_show(ask: Any) -> None:
    first, second = ask("rows", ids=[0, 1])["rows"]
    assert (first["name"], first["text"], first["width"], first["height"]) == ("0.png", "", 40, 60)
    assert second["text"] == "cat, tag1, <b>" and 0 < second["tokens"] < second["limit"] == 75
    assert first["stamp"] != second["stamp"]
    assert ask("rows", ids=[99, -1])["rows"] == []


def test_trigger_words_of_the_draft_are_marked(ask: Any, page: CaptionsPage) -> None:
    data = quick_plan.with_values(quick_plan.demo(), {"data.trigger_word": "Cat"})
    page.context.draft.replace(data)
    assert ask("rows", ids=[1])["rows"][0]["facts"] == {"cat": {"trigger": True}}


def test_the_filter_finds_and_tells_where_it_is_wrong(ask: Any) -> None:
    assert view(ask, "tag:tag1 not name:5*") == [1, 3]
    assert view(ask, "untagged") == [0]
    problem = ask("view", filter="cat and (dog", sort="name")["problem"]
    assert (problem["position"], problem["length"]) == (8, 1) and "bracket" in problem["text"]


@pytest.mark.parametrize("sort", SORTS)
def test_every_order_has_all_rows(ask: Any, sort: str) -> None:
    assert sorted(view(ask, sort=sort)) == list(range(6))


def test_orders(ask: Any) -> None:
    assert view(ask, sort="size_most")[0] == 5 and view(ask, sort="size_fewest")[0] == 0
    assert view(ask, sort="tags_fewest")[0] == 0 and view(ask, sort="tags_most")[-1] == 0
    assert view(ask, sort="caption")[-1] == 0, "those without a caption come last"


def test_names_are_in_the_order_of_their_numbers() -> None:
    names = ["img_1.png", "img_10.png", "IMG_2.png", "img_02.png", "b/3.png", "b/12.png", "图9", "图10"]
    assert [names[place] for place in natural_order(names)] == [
        "img_1.png", "IMG_2.png", "img_02.png", "img_10.png", "图9", "图10", "b/3.png", "b/12.png",
    ]  # fmt: skip


def test_an_edit_is_on_disk_when_it_is_answered_and_can_be_undone(ask: Any, folder: Path) -> None:
    answer = edit(ask, 1, "cat, tag1, <b>", "dog")
    assert (folder / "1.txt").read_text(encoding="utf-8") == "dog"
    assert answer["rows"][0]["text"] == "dog" and answer["history"]["undo"] == "Edit 1.png"
    answer = ask("undo")
    assert "Edit 1.png" in answer["done"] and answer["touched"] == [1]
    while ask("poll", tab="a")["pending"]:  # an undo is written behind
        time.sleep(0.05)
    assert (folder / "1.txt").read_text(encoding="utf-8") == "cat, tag1, <b>"
    assert "nothing left" in ask("undo")["done"]
    assert ask("redo")["history"]["undo"] == "Edit 1.png"


def test_two_tabs_on_one_caption_never_overwrite_each_other(ask: Any, folder: Path) -> None:
    edit(ask, 1, "cat, tag1, <b>", "first tab")
    answer = edit(ask, 1, "cat, tag1, <b>", "second tab")
    (conflict,) = answer["conflicts"]
    assert (conflict["text"], conflict["mine"]) == ("first tab", "second tab")
    assert (folder / "1.txt").read_text(encoding="utf-8") == "first tab"
    assert edit(ask, 1, "first tab", "second tab")["conflicts"] == []
    assert (folder / "1.txt").read_text(encoding="utf-8") == "second tab"
    assert "another tab" in "".join(note for tab in "ab" for note in ask("poll", tab=tab)["notes"])


def test_a_file_changed_outside_is_a_conflict_until_it_is_settled(ask: Any, folder: Path) -> None:
    (folder / "2.txt").write_text("theirs", encoding="utf-8")
    answer = edit(ask, 2, "cat, tag0, <b>", "ours")
    assert [(each["text"], each["mine"]) for each in answer["conflicts"]] == [("theirs", "ours")]
    assert ask("settle", row=2)["conflicts"] == []
    assert (folder / "2.txt").read_text(encoding="utf-8") == "theirs"


def test_what_is_to_be_decided_stays_with_its_picture_when_others_come_and_go(
    ask: Any, page: CaptionsPage, folder: Path
) -> None:
    (folder / "2.txt").write_text("theirs", encoding="utf-8")
    edit(ask, 2, "cat, tag0, <b>", "ours")
    desk = page.desks.get(str(folder))
    Image.new("RGB", (10, 10)).save(folder / "00.png")
    found = desk.look()
    assert found is not None and found.added == ("00.png",)
    (conflict,) = page.open({"folder": str(folder)})["conflicts"]
    assert (conflict["id"], conflict["name"], conflict["mine"]) == (3, "2.png", "ours")
    desk.library.trash("away", [3])
    assert page.open({"folder": str(folder)})["conflicts"] == []
    desk.library.undo()
    answer = page.open({"folder": str(folder)})
    (conflict,) = answer["conflicts"]
    assert (conflict["id"], conflict["mine"]) == (3, "ours")
    wanted = {"row": 3, "text": conflict["mine"], "before": conflict["text"]}
    request = {"folder": str(folder), "generation": answer["generation"], "edits": [wanted]}
    assert page.edit(request)["conflicts"] == []
    assert (folder / "2.txt").read_text(encoding="utf-8") == "ours"


def test_a_folder_with_captions_that_are_nowhere_else_stays_open(ask: Any, page: CaptionsPage, folder: Path) -> None:
    (folder / "2.txt").write_text("theirs", encoding="utf-8")
    edit(ask, 2, "cat, tag0, <b>", "ours")
    desk = page.desks.get(str(folder))
    for number in range(6):
        other = folder.with_name(f"other {number}")
        other.mkdir()
        page.desks.get(str(other))
    assert page.desks.get(str(folder)) is desk
    assert [each.ours for each in desk.open_conflicts()] == ["ours"]


def test_a_batch_leaves_alone_what_was_edited_while_it_was_worked_out(
    ask: Any, page: CaptionsPage, folder: Path
) -> None:
    desk = page.desks.get(str(folder))
    before = list(desk.library.texts)
    edit(ask, 2, "cat, tag0, <b>", "typed")
    assert desk.apply("x", {1: "one", 2: "two"}, before).rows == (1,)
    assert desk.library.texts[1:3] == ["one", "typed"]


def test_a_question_that_rows_are_numbered_anew_under_is_answered_so(ask: Any, page: CaptionsPage) -> None:
    def question(_page: CaptionsPage, desk: Desk, request: Data) -> Data:
        if request["trash"]:
            other = Thread(target=desk.library.trash, args=("away", [5]))
            other.start()
            other.join()
        raise IndexError

    folder = page.desks.get(str(ask("open")["folder"])).library.root
    request = {"folder": str(folder), "generation": ask("open")["generation"]}
    assert at_desk(question)(page, {**request, "trash": True}) == {"renumbered": True}
    request["generation"] = page.open(request)["generation"]
    with pytest.raises(IndexError):
        at_desk(question)(page, {**request, "trash": False})


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_nobody_can_read_can_be_sent(page: CaptionsPage, folder: Path) -> None:
    (folder / "1.png").rename(folder / os.fsdecode(b"\x94\x4c.png"))
    while "generation" not in (answer := page.open({"folder": str(folder)})):
        pass
    row = page.desks.get(str(folder)).library.row(os.fsdecode(b"\x94\x4c.png"))
    found = page.rows({"folder": str(folder), "generation": answer["generation"], "ids": [row]})
    json.dumps(found, ensure_ascii=False).encode()
    assert found["rows"][0]["name"] == "?L.png"


def test_undo_over_a_change_from_outside_asks_first(ask: Any, folder: Path) -> None:
    edit(ask, 2, "cat, tag0, <b>", "ours")
    (folder / "2.txt").write_text("theirs", encoding="utf-8")
    answer = ask("undo")
    assert answer["external"] and "2.txt" in answer["text"]
    assert (folder / "2.txt").read_text(encoding="utf-8") == "theirs"
    assert "Undone" in ask("undo", about="overwrite")["done"]


def test_undo_leaves_a_change_from_outside_where_one_says_so(ask: Any, folder: Path) -> None:
    edit(ask, 1, "cat, tag1, <b>", "first")
    edit(ask, 2, "cat, tag0, <b>", "ours")
    (folder / "2.txt").write_text("theirs", encoding="utf-8")
    assert "2.txt" in ask("undo", about="skip")["done"]
    assert (folder / "2.txt").read_text(encoding="utf-8") == "theirs"
    assert ask("undo")["done"] == "Undone: Edit 1.png", "undo is free to go on"


def test_pictures_that_come_or_go_number_the_rows_anew(ask: Any, folder: Path) -> None:
    Image.new("RGB", (10, 10)).save(folder / "00.png")
    until = time.monotonic() + 60
    while not ask("poll", tab="a").get("renumbered") and time.monotonic() < until:
        time.sleep(0.2)
    assert ask("rows", ids=[0]) == {"renumbered": True}, "the page's rows are those of another time"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_what_cannot_be_written_is_told_and_tried_again(ask: Any, folder: Path) -> None:
    folder.chmod(0o500)
    answer = edit(ask, 1, "cat, tag1, <b>", "dog")
    assert answer["num_failed"] == 1 and "cannot be written" in answer["failed"][0]
    folder.chmod(0o700)
    assert ask("retry")["num_failed"] == 0
    assert (folder / "1.txt").read_text(encoding="utf-8") == "dog"


def test_tags_are_counted_over_all_and_in_the_filter(ask: Any) -> None:
    def tags(**request: Any) -> Data:
        return ask("tags", **{"filter": "", "search": "", "sort": "count", **request})

    answer = tags()
    assert answer["num"] == 4 and answer["tags"][0][1] == 5
    assert {tag: shown for tag, _, shown, *_ in tags(filter="tag:tag1")["tags"]} == {
        "cat": 3,
        "<b>": 3,
        "tag1": 3,
        "tag0": 0,
    }
    assert [tag for tag, *_ in tags(search="TAG")["tags"]] == ["tag1", "tag0"]
    assert tags(sort="rare")["tags"][0][0] == "tag0"
    assert ask("complete", text="ta")["tags"][0]["tag"] == "tag1"
    assert ask("common", ids=captions_view.packed([0, 1]))["tags"][0][1] == 1


def test_a_batch_previews_applies_and_is_one_step_back(ask: Any, folder: Path) -> None:
    request = {"operation": "replace", "values": {"find": "tag(\\d)", "replacement": "t\\1", "mode": "regex"}}
    shown = ask("preview", **request, scope="shown", filter="tag:tag1")
    assert (shown["num"], shown["total"]) == (3, 3)
    assert shown["examples"][0] == {"id": 1, "name": "1.png", "before": "cat, tag1, <b>", "after": "cat, t1, <b>"}
    answer = ask("apply", **request, scope="selected", ids=captions_view.packed([1, 2, 77]))
    assert answer["num"] == 2 and answer["history"]["undo"].startswith("Find and replace: tag")
    assert ask("undo")["touched"] is not None
    assert "expression" in ask("preview", **{**request, "values": {"find": "(", "mode": "regex"}}, scope="all")["error"]
    assert "filter" in ask("apply", **request, scope="shown", filter="(")["error"]
    assert "whole number" in ask("preview", operation="first", values={"number": "x"}, scope="all")["error"]


def test_tags_are_merged_exactly_as_they_are_written(ask: Any) -> None:
    edit(ask, 1, "cat, tag1, <b>", "a*, ab, tag1, dog")
    ask("apply", operation="merge", values={"tags": ["a*", "tag1"], "into": "dog"}, scope="all")
    assert ask("rows", ids=[1])["rows"][0]["text"] == "dog, ab"
    ask("apply", operation="merge", values={"tags": ["dog"], "into": ""}, scope="all")
    assert ask("rows", ids=[1])["rows"][0]["text"] == "ab"


def test_a_tag_becomes_several_that_are_not_there_yet(ask: Any) -> None:
    ask("apply", operation="merge", values={"tags": ["cat"], "into": "black cat，tag1, "}, scope="all")
    texts = [row["text"] for row in ask("rows", ids=[1, 2])["rows"]]
    assert texts == ["black cat, tag1, <b>", "black cat, tag1, tag0, <b>"]


def test_sorting_by_category_knows_the_kinds_of_the_list(ask: Any, tmp_path: Path) -> None:
    lists = tmp_path / "home" / "tags"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "list.csv").write_text("highres,5,9\nfate,3,9\nsaber,4,9\nsmile,0,9\nwlop,1,9\n", encoding="utf-8")
    edit(ask, 1, "cat, tag1, <b>", "zkz, highres, own, smile, wlop, fate, saber")
    answer = ask("preview", operation="sort", values={"by": "category", "keep_first": "1"}, scope="all")
    assert answer["examples"][0]["after"] == "zkz, saber, fate, wlop, smile, own, highres"


def test_every_operation_can_be_asked_for_in_every_language(ask: Any, page: CaptionsPage) -> None:
    for language in languages():
        told = props(AppContext(page.context.services, language, gr.Blocks()))
        assert "captionpage." not in json.dumps([told["operations"], told["words"], told["examples"]])
        for operation in told["operations"]:
            values = {
                field["name"]: "x" if field["default"] == "" else field["default"] for field in operation["fields"]
            }
            answer = ask(
                "preview", operation=operation["name"], values={**values, "tags": "cat", "find": "c"}, scope="all"
            )
            assert "num" in answer, answer
    for text, _ in told["examples"]:
        problem = ask("view", filter=text, sort="name")["problem"]
        assert problem is None or problem["remedy"] or "similar" in text, text


def test_thumbnails_are_kept_on_disk_and_only_of_open_folders(page: CaptionsPage, folder: Path, tmp_path: Path) -> None:
    client = TestClient(make_app(page.context.services))
    key = page.desks.get(str(folder)).key
    answer = client.get(f"/captions/pictures/{key}/3?size=150&v=1")
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/webp"
    kept = list((tmp_path / "home" / "cache" / "thumbnails").rglob("*.webp"))
    assert len(kept) == 1 and kept[0].read_bytes() == answer.content
    (folder / "3.png").write_bytes(b"damaged")
    assert client.get(f"/captions/pictures/{key}/3?size=150&v=1").content == answer.content, "not made again"
    assert client.get(f"/captions/pictures/{key}/99").status_code == 404
    assert client.get("/captions/pictures/none/0").status_code == 404
    (folder / "4.png").write_bytes(b"damaged")
    assert client.get(f"/captions/pictures/{key}/4?size=1500").status_code == 404
    assert captions_pictures.thumbnail(folder / "5.png", "stamp", 192)[:4] == b"RIFF"


def test_lists_of_the_user_complete_colour_and_translate(ask: Any, tmp_path: Path) -> None:
    lists = tmp_path / "home" / "tags"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "list.csv").write_text('cats_eye,0,900,"kitty"\nsaber,4,5000,\ncat,0,9000,\n', encoding="utf-8")
    (lists / "translations.csv").write_text("cat,猫\nsaber,阿尔托莉雅\n", encoding="utf-8")
    found = ask("complete", text="cat")["tags"]
    assert found[0]["tag"] == "cat" and found[0]["count"] == 5 and found[0]["translation"] == "猫"
    assert ask("complete", text="kitty")["tags"][0]["alias"] == "kitty"
    edit(ask, 1, "cat, tag1, <b>", "cat, saberr, saber")
    facts = ask("rows", ids=[1])["rows"][0]["facts"]
    assert facts["saber"] == {"category": "character", "translation": "阿尔托莉雅"}
    assert facts["saberr"]["hint"] == "saber"
    (lists / "list.csv").write_bytes(b"")
    assert "list.csv" in ask("tag_lists")["problems"][0]


def test_hints_name_what_looks_forgotten(ask: Any, folder: Path) -> None:
    for number in range(30):
        Image.new("RGB", (8, 8)).save(folder / f"x{number:02}.png")
        text = "cat ears, animal ears" if number else "cat ears"
        (folder / f"x{number:02}.txt").write_text(text, encoding="utf-8")
    while "num" not in (answer := ask("open", again=True)):
        time.sleep(0.1)
    (hint,) = ask("hints", generation=answer["generation"])["hints"]
    assert "cat ears" in hint["text"]
    found = ask("view", generation=answer["generation"], filter=hint["filter"], sort="name")
    assert len(rows_of(found)) == 1


def test_what_goes_together_and_rare_tags_are_told(ask: Any) -> None:
    found = ask("together", tag="cat")
    assert [row[:3] for row in found["tags"]] == [["<b>", 5, 1.0], ["tag1", 3, 0.6], ["tag0", 2, 0.4]]
    assert ask("together", tag="none")["tags"] == []
    assert [tag for tag, *_ in ask("tags", filter="", search="", sort="count", fewer=3)["tags"]] == ["tag0"]
    assert rows_of(ask("view", filter="rarest: < 3", sort="name")) == [2, 4]


def test_a_filter_that_needs_looking_says_so_and_looking_helps(ask: Any) -> None:
    found = ask("view", filter="cat dup", sort="name")
    assert found["problem"]["remedy"] == "looks" and found["problem"]["position"] == 4
    while "ended" not in (answer := ask("look_closely")):
        assert answer["waiting"]
    assert answer == {"ended": True, "cancelled": False}
    assert ask("view", filter="dup", sort="name")["unseen"] == 0
    assert ask("likeness")["looks"] == 6
    assert ask("view", filter="score: > 1", sort="name")["problem"]["remedy"] == "scorer"
    assert ask("view", filter="tag:", sort="name")["problem"]["remedy"] == ""


def test_a_caption_of_ten_thousand_tags_does_not_hold_up_the_grid(ask: Any) -> None:
    edit(ask, 1, "cat, tag1, <b>", ", ".join(f"word{number} of mine" for number in range(10_000)))
    began = time.process_time()
    assert ask("rows", ids=[1])["rows"][0]["tokens"] > 10_000
    assert time.process_time() - began < 3, "in the square of their number it takes minutes"
