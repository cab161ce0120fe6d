"""Folders of pictures in, caption files out: with the pipeline, the output and the journal, on a real model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_taggers
from PIL import Image

from backend.config.problems import Problem, UserError
from backend.data import picture_edits
from backend.data.sources.metadata import IMAGES
from backend.editing.journal import Journal
from taggers import files, pictures, pipeline
from taggers.base import Picture
from taggers.config import TaggingConfig
from taggers.kinds import load
from taggers.output import LINES_NAME, Output, Written
from taggers.tagging import Counts, Listener, Task, tag

MakePictures = Callable[..., Path]


class Heard:
    """Keeps what a tagging tells."""

    def __init__(self, stop_after: int = 10**6) -> None:
        self.found: list[Written] = []
        self.saved: list[Written] = []
        self.warnings: list[Problem] = []
        self.progress: list[tuple[int, int]] = []
        self.listener = Listener(
            progress=lambda done, total: self.progress.append((done, total)),
            warn=self.warnings.append,
            stopping=lambda: len(self.found) >= stop_after,
            found=self.found.append,
            saved=self.saved.extend,
        )


def run(model: Path, folder: Path, heard: Heard | None = None, **options: Any) -> Counts:
    config = TaggingConfig(**{"folders": [str(folder)], "model": str(model), "device": "cpu", **options})
    task = Task(config, "tagging")
    tag(task, load(files.at(model), config), (heard or Heard()).listener)
    return task.counts


def captions(folder: Path, ending: str = ".txt") -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in sorted(folder.rglob(f"*{ending}"))}


def test_what_is_not_a_number_is_no_confidence(tmp_path: Path, make_pictures: MakePictures) -> None:
    model = tiny_taggers.wd(tmp_path / "model", scores=(0.9, float("nan"), *[0.9] * 8))
    folder, heard = make_pictures(a=1), Heard()
    assert run(model, folder, heard, rating="first") == Counts(failed=1)
    assert [warning.code for warning in heard.warnings] == ["tagger_not_a_number"]
    assert captions(folder) == {}


def test_every_picture_gets_a_caption_beside_it(model: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1, sub__b=2)
    assert run(model, folder) == Counts(written=2)
    expected = "1girl, saber (fate), fate (series), long hair, ^_^, simple background"
    assert captions(folder) == {"a.txt": expected, str(Path("sub/b.txt")): expected}


def test_folders_below_can_be_left_out(model: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1, sub__b=2)
    run(model, folder, recursive=False)
    assert list(captions(folder)) == ["a.txt"]


def test_each_caption_is_that_of_its_picture_in_every_batch(tmp_path: Path, make_pictures: MakePictures) -> None:
    model = tiny_taggers.wd(tmp_path / "bright", scores=(0.0,) * len(tiny_taggers.TAGS), bright=2)
    folder = make_pictures(**{f"p{grey:03}": grey for grey in range(0, 256, 15)})
    heard = Heard()
    run(model, folder, heard, confidence_weights=True, general_threshold=0, excluded_tags=["long*", "^*", "s*"])
    assert [written.picture.name for written in heard.found] == sorted(path.name for path in folder.glob("*.png"))
    shares = [float(written.after.removeprefix("(1girl:").rstrip(")")) for written in heard.found]
    assert shares == sorted(shares) and shares[0] < 0.45 and shares[-1] == 1.0
    assert heard.progress[-1] == (18, 18)


def test_transparency_is_white(tmp_path: Path) -> None:
    model = tiny_taggers.wd(tmp_path / "bright", scores=(0.0,) * len(tiny_taggers.TAGS), bright=2)
    folder = tmp_path / "clear"
    folder.mkdir()
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(folder / "a.png")
    run(model, folder, general_threshold=0.99)
    assert captions(folder) == {"a.txt": "1girl"}


def test_no_picture_is_decoded_twice(model: Path, make_pictures: MakePictures, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    original = picture_edits.read_rgb

    def counted(path: Path, name: str = "") -> Image.Image:
        read.append(path)
        return original(path, name)

    monkeypatch.setattr(picture_edits, "read_rgb", counted)
    folder = make_pictures(**{f"p{number}": number for number in range(9)})
    (folder / "p3.txt").write_text("mine")
    run(model, folder, batch_size=2)
    assert len(read) == len(set(read)) == 8  # what has a caption is not even opened


@pytest.mark.parametrize("how", ["skip", "merge", "append", "prepend", "overwrite"])
def test_captions_that_are_there(model: Path, make_pictures: MakePictures, how: str) -> None:
    folder = make_pictures(a=1, b=2)
    (folder / "a.txt").write_text("1girl, hat", encoding="utf-8")
    (folder / "b.txt").write_text(" \n", encoding="utf-8")  # as good as none
    counts = run(model, folder, on_existing=how, general_threshold=0.5, character_threshold=1, copyright_threshold=1)
    expected = {
        "skip": "1girl, hat",
        "merge": "1girl, hat, long hair",
        "append": "1girl, hat, 1girl, long hair",
        "prepend": "1girl, long hair, 1girl, hat",
        "overwrite": "1girl, long hair",
    }
    assert captions(folder)["a.txt"] == expected[how]
    assert captions(folder)["b.txt"].strip() == "1girl, long hair"
    assert counts == (Counts(written=1, skipped=1) if how == "skip" else Counts(written=2))


@pytest.mark.parametrize("output", ["txt", "json", "jsonl"])
def test_nothing_found_is_told_and_nothing_is_written_or_lost(
    model: Path, make_pictures: MakePictures, output: str
) -> None:
    folder = make_pictures(a=1, b=2)
    (folder / "a.txt").write_text("mine", encoding="utf-8")
    heard = Heard()
    before = sorted(folder.iterdir())
    options = {"general_threshold": 1, "character_threshold": 1, "copyright_threshold": 1, "output": output}
    assert run(model, folder, heard, on_existing="overwrite", **options) == Counts(skipped=2)
    assert sorted(folder.iterdir()) == before and captions(folder) == {"a.txt": "mine"}
    assert [(each.code, each.params) for each in heard.warnings] == [("tagging_wordless", {"num": 2, "name": "a.png"})]


def test_encoding_and_line_ends_of_a_caption_are_kept(model: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1)
    (folder / "a.txt").write_bytes("\ufeff帽子, hat\r\n".encode())
    run(model, folder, on_existing="merge", general_threshold=0.8, character_threshold=1, copyright_threshold=1)
    assert (folder / "a.txt").read_bytes() == "\ufeff帽子, hat, 1girl\r\n".encode()


def test_a_tagging_is_undone_at_once(model: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1, b=2, sub__c=3)
    (folder / "a.txt").write_text("mine", encoding="utf-8")
    run(model, folder, on_existing="overwrite", batch_size=1)
    with Journal(folder) as journal:
        (action,) = journal.history()
        assert (action.name, action.num_changes, action.is_finished) == ("tagging", 3, True)
        journal.undo()
    assert captions(folder) == {"a.txt": "mine"}


def test_a_preview_writes_nothing(model: Path, make_pictures: MakePictures, home: Path) -> None:
    folder = make_pictures(**{f"p{number:02}": number for number in range(15)})
    (folder / "p00.txt").write_text("mine", encoding="utf-8")
    heard = Heard()
    run(model, folder, heard, dry_run=True, on_existing="append", batch_size=3)
    assert len(heard.found) == 10
    assert heard.found[0].before == "mine" and heard.found[0].after.startswith("mine, 1girl")
    assert captions(folder) == {"p00.txt": "mine"}
    assert not heard.saved
    assert not (home / "journals").exists()


def test_a_limit_holds(model: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1, b=2, c=3)
    run(model, folder, limit=2)
    assert list(captions(folder)) == ["a.txt", "b.txt"]


def test_a_file_beside_each_picture_can_hold_the_confidences(model: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1)
    run(model, folder, output="json")
    content = json.loads((folder / "a.json").read_text("utf-8"))
    assert content["caption"].startswith("1girl, saber (fate)")
    assert content["confidences"]["character"] == {"saber_(fate)": 0.7}
    assert run(model, folder, output="json") == Counts(skipped=1)


def test_one_file_of_a_folder_is_a_data_set(model: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1, sub__b=2)
    mine = {"file_name": "sub/b.png", "caption": "mine", "extra": 1}
    (folder / LINES_NAME).write_text(json.dumps(mine) + "\n", encoding="utf-8")
    run(model, folder, output="jsonl")
    rows = [json.loads(line) for line in (folder / LINES_NAME).read_text("utf-8").splitlines()]
    assert rows[0] == mine
    assert rows[1]["file_name"] == "a.png" and rows[1]["caption"].startswith("1girl")
    assert "file_name" in IMAGES
    with Journal(folder) as journal:
        journal.undo()
    assert json.loads((folder / LINES_NAME).read_text("utf-8")) == mine


@pytest.mark.parametrize("output", ["json", "jsonl"])
def test_what_others_keep_in_json_stays(model: Path, make_pictures: MakePictures, output: Any) -> None:
    folder = make_pictures(a=1, b=2)
    theirs = {"file_name": "a.png", "score": 5, "caption": "one\u2028two"}
    lines = [json.dumps(theirs, ensure_ascii=False), "not json", json.dumps({"file_name": "gone.png"})]
    (folder / LINES_NAME).write_text("\n".join(lines), encoding="utf-8")
    (folder / "a.json").write_text(json.dumps({"size": 5}), encoding="utf-8")
    (folder / "b.json").write_text("[1, 2]", encoding="utf-8")
    heard = Heard()
    counts = run(model, folder, heard, output=output)
    if output == "json":
        assert json.loads((folder / "a.json").read_text("utf-8"))["size"] == 5
        assert (folder / "b.json").read_text("utf-8") == "[1, 2]" and counts == Counts(written=1, failed=1)
        assert [problem.code for problem in heard.warnings] == ["caption_json_foreign"]
        return
    assert counts == Counts(written=1, skipped=1)
    found = (folder / LINES_NAME).read_text("utf-8").split("\n")
    assert found[:3] == lines and json.loads(found[3])["file_name"] == "b.png"
    run(model, folder, output=output, on_existing="overwrite")
    assert json.loads((folder / LINES_NAME).read_text("utf-8").split("\n")[0])["score"] == 5


def test_the_file_of_a_folder_is_written_as_it_grows_and_gone_on_with(make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1, b=2)
    mine = json.dumps({"file_name": "b.png", "caption": "mine"})
    (folder / LINES_NAME).write_text(mine, encoding="utf-8")
    config = TaggingConfig(folders=[str(folder)], output="jsonl", on_existing="append")
    first, second = pictures.find(config)
    with Output(config, "run") as output:
        output.put(first, ["cat"], {})
        assert output.flush() == []
        output.put(second, ["dog"], {})
        output.flush()
        output.flush()
    captions = [json.loads(line)["caption"] for line in (folder / LINES_NAME).read_text("utf-8").split("\n")]
    assert captions == ["mine, dog", "cat"]
    with Output(config, "run") as output:
        assert output.left([first, second]) == []
    with Journal(folder) as journal:
        journal.undo()
    assert (folder / LINES_NAME).read_text("utf-8") == mine
    with Output(config, "run") as output:
        assert output.left([first, second]) == [first, second]


def test_a_name_that_is_no_utf8_is_found_again_in_the_file_of_a_folder(make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1)
    config = TaggingConfig(folders=[str(folder)], output="jsonl", on_existing="merge")
    picture = Picture(str(folder), "\udcff猫.png", folder / "a.png")
    for _ in range(2):
        with Output(config, "run") as output:
            output.put(picture, ["cat"], {})
            output.close()
    (line,) = (folder / LINES_NAME).read_text("utf-8").splitlines()
    assert json.loads(line)["file_name"] == picture.name


def test_pictures_that_share_a_caption_file_write_it_once(model: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1)
    (folder / "a.jpg").write_bytes((folder / "a.png").read_bytes())
    (folder / "a.txt").write_text("mine", encoding="utf-8")
    assert run(model, folder, on_existing="append", batch_size=1) == Counts(written=1, skipped=1)
    assert captions(folder)["a.txt"].count("1girl") == 1


def test_a_damaged_picture_is_told_and_passed_over(model: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1, b=2)
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes()[:40])
    heard = Heard()
    assert run(model, folder, heard) == Counts(written=1, failed=1)
    assert [problem.params["value"] for problem in heard.warnings] == ["a.png"]
    assert list(captions(folder)) == ["b.txt"]


def test_stopping_keeps_what_is_found(model: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(**{f"p{number:02}": number for number in range(40)})
    heard = Heard(stop_after=6)
    run(model, folder, heard, batch_size=2)
    assert len(captions(folder)) == len(heard.saved) == 6


def test_what_an_earlier_process_did_is_not_done_again(model: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1, b=2)
    run(model, folder, on_existing="append", limit=1)
    config = TaggingConfig(folders=[str(folder)], model=str(model), on_existing="append")
    task = Task(config, "tagging", is_resumed=True)
    tag(task, load(files.at(model), config), Listener())
    assert task.counts == Counts(written=1)
    assert [text.count("1girl") for text in captions(folder).values()] == [1, 1]
    with Journal(folder) as journal:
        journal.undo()
    tag(Task(config, "tagging", is_resumed=True), load(files.at(model), config), Listener())
    assert [text.count("1girl") for text in captions(folder).values()] == [1, 1]


@pytest.mark.parametrize("how", ["skip", "append"])
def test_a_limit_holds_for_a_run_that_was_interrupted(model: Path, make_pictures: MakePictures, how: Any) -> None:
    folder = make_pictures(a=1, b=2, c=3, d=4, e=5)
    run(model, folder, on_existing=how, limit=2)
    config = TaggingConfig(folders=[str(folder)], model=str(model), on_existing=how, limit=3)
    for _ in range(2):
        tag(Task(config, "tagging", is_resumed=True), load(files.at(model), config), Listener())
        assert list(captions(folder)) == ["a.txt", "b.txt", "c.txt"]


def test_a_model_that_fails_loses_nothing(model: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(**{f"p{number}": number for number in range(8)})
    config = TaggingConfig(folders=[str(folder)], model=str(model), batch_size=2)
    tagger = load(files.at(model), config)
    original, calls = tagger.describe, []

    def failing(prepared: Any) -> Any:
        calls.append(1)
        if len(calls) > 2:
            raise MemoryError
        return original(prepared)

    tagger.describe = failing  # type: ignore[method-assign]
    heard = Heard()
    with pytest.raises(MemoryError):
        tag(Task(config, "tagging"), tagger, heard.listener)
    assert len(captions(folder)) == len(heard.saved) == 4


def test_a_caption_that_cannot_be_written_is_told(model: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1, b=2)
    (folder / "a.txt").mkdir()
    heard = Heard()
    assert run(model, folder, heard, on_existing="overwrite") == Counts(written=1, failed=1)
    assert len(heard.warnings) == 1 and "a.txt" in heard.warnings[0].params["value"]


@pytest.mark.parametrize(
    ("folders", "code"),
    [([], "tagging_folders_empty"), ([""], "tagging_folders_empty"), (["no/such"], "tagging_folder_missing")],
)
def test_folders_that_are_not_there_are_told(model: Path, folders: list[str], code: str) -> None:
    with pytest.raises(UserError) as caught:
        run(model, Path(), folders=folders)
    assert caught.value.problem.code == code


def test_a_folder_without_pictures_is_told(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError) as caught:
        run(model, tmp_path / "empty")
    assert caught.value.problem.code == "tagging_folder_empty"


def test_masks_and_hidden_files_are_no_pictures(model: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1)
    for name in ("a-masklabel.png", ".hidden.png"):
        Image.new("RGB", (4, 4)).save(folder / name)
    run(model, folder)
    assert list(captions(folder)) == ["a.txt"]


def test_both_kinds_of_layout_give_captions(tmp_path: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1)
    run(tiny_taggers.cl(tmp_path / "cl"), folder, rating="last", quality="first")
    assert captions(folder) == {"a.txt": "best quality, 1girl, saber (fate), general"}


def test_the_pipeline_asks_before_each_batch(model: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(**{f"p{number}": number for number in range(6)})
    tagger = load(files.at(model), TaggingConfig())
    pictures = [Picture(str(folder), path.name, path) for path in sorted(folder.glob("*.png"))]
    batches = list(pipeline.describe(tagger, pictures, batch_size=4, num_workers=2))
    assert [len(batch) for batch in batches] == [4, 2]
    assert list(pipeline.describe(tagger, pictures, batch_size=4, num_workers=2, stopping=lambda: True)) == []


def test_a_folder_that_vanishes_meanwhile_is_told(model: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(**{f"p{number}": number for number in range(8)})
    config = TaggingConfig(folders=[str(folder)], model=str(model), batch_size=2)
    tagger = load(files.at(model), config)
    original = tagger.describe

    def vanishing(prepared: Any) -> Any:
        if folder.exists():
            folder.rename(folder.with_name("elsewhere"))
        return original(prepared)

    tagger.describe = vanishing  # type: ignore[method-assign]
    with pytest.raises(UserError) as caught:
        tag(Task(config, "tagging"), tagger, Listener())
    assert caught.value.problem.code == "caption_folder_gone"


def test_a_caption_that_somebody_wrote_meanwhile_is_kept(model: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1, b=2)
    config = TaggingConfig(folders=[str(folder)], model=str(model), batch_size=1)
    tagger = load(files.at(model), config)
    original = tagger.describe

    def interrupted(prepared: Any) -> Any:
        (folder / "b.txt").write_text("mine")
        return original(prepared)

    tagger.describe = interrupted  # type: ignore[method-assign]
    task = Task(config, "tagging")
    tag(task, tagger, Listener())
    assert (folder / "b.txt").read_text() == "mine"
    assert task.counts == Counts(written=1, skipped=1)


def test_only_the_pictures_that_are_named_are_tagged(model: Path, make_pictures: MakePictures) -> None:
    folder = make_pictures(a=1, b=2, more__c=3)
    heard = Heard()
    assert run(model, folder, heard, pictures=["b.png", "more/c.png", "gone.png"]) == Counts(written=2, failed=1)
    assert [(each.code, each.params) for each in heard.warnings] == [
        ("tagging_pictures_gone", {"num": 1, "name": "gone.png"})
    ]
    assert not (folder / "a.txt").exists() and (folder / "more" / "c.txt").is_file()
    with pytest.raises(UserError) as caught:
        run(model, folder, pictures=["gone.png"])
    assert caught.value.problem.code == "tagging_pictures_gone"


def test_pictures_of_kinds_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "phone"
    folder.mkdir()
    for name in ("a.heic", "b.HEIC", "c.jxl", "d.txt"):
        (folder / name).write_bytes(b"x")
    with pytest.raises(UserError) as caught:
        pictures.find(TaggingConfig(folders=[str(folder)]))
    assert caught.value.problem.code == "tagging_folder_foreign"
    assert caught.value.problem.params["endings"] == ".heic, .jxl"


def test_names_of_pictures_may_be_written_as_windows_does(
    make_pictures: MakePictures,
) -> None:
    folder = make_pictures(sub__a=1, sub__b=2)
    config = TaggingConfig(folders=[str(folder)], pictures=[os.path.join("sub", "a.png")])  # noqa: PTH118
    assert [each.name for each in pictures.find(config)] == ["sub/a.png"]
    assert pictures.gone(config, pictures.find(config)) == []
