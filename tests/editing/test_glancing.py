"""Large folders are opened and watched without looking at every file; what changed is found all the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from backend.editing import glancing
from backend.editing.library import Library
from backend.editing.pictures import Progress


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of 20 pictures that is large enough for a glance: of 5 of them at a time."""
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(glancing, "NUM_LISTED", 10)
    monkeypatch.setattr(glancing, "NUM_GLANCED", 5)
    place = tmp_path / "pictures"
    for number in range(20):
        path = place / f"set{number % 2}" / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
        path.with_suffix(".txt").write_text("cat", encoding="utf-8")
    age(place)
    return place


def age(folder: Path) -> None:
    """Make folders look as if nothing came or went for a while."""
    then = time.time() - 60
    for place in (folder, *(each for each in folder.iterdir() if each.is_dir())):
        os.utime(place, (then, then))


@pytest.fixture
def num_listings(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Return a function that tells how often the folder was listed since the last time."""
    done: list[int] = []
    list_folder = Library._list

    def counted(library: Library, progress: Progress | None = None) -> object:
        done.append(1)
        return list_folder(library, progress)

    monkeypatch.setattr(Library, "_list", counted)

    def told() -> int:
        num = len(done)
        done.clear()
        return num

    return told


def in_place(path: Path, text: str) -> None:
    """Write over a file as many editors do: its folder does not change."""
    with path.open("r+", encoding="utf-8") as file:
        file.truncate(0)
        file.write(text)


def test_a_folder_that_is_as_it_was_is_opened_without_listing_it(folder: Path, num_listings: Callable[[], int]) -> None:
    Library(folder).close()
    assert num_listings() == 1
    with Library(folder) as library:
        assert num_listings() == 0
        assert len(library) == 20 and library.texts[3] == "cat" and library.widths.tolist() == [8] * 20
        assert not library.reload_changed(at_a_glance=True).changed
        assert num_listings() == 1, "the first look after it is a thorough one"


def test_what_was_written_over_in_place_meanwhile_is_found_at_the_first_look(folder: Path) -> None:
    Library(folder).close()
    in_place(folder / "set1" / "03.txt", "dog, cat")
    with Library(folder) as library:
        row = library.row("set1/03.png")
        assert library.texts[row] == "cat"
        assert library.reload_changed(at_a_glance=True).changed == (row,)
        assert library.texts[row] == "dog, cat"


def test_an_edit_of_a_caption_that_was_not_looked_at_yet_overwrites_nothing(folder: Path) -> None:
    Library(folder).close()
    in_place(folder / "set1" / "03.txt", "theirs")
    with Library(folder) as library:
        row = library.row("set1/03.png")
        (conflict,) = library.apply("edit", {row: "ours"}, wait=True).conflicts
        assert (conflict.ours, conflict.theirs) == ("ours", "theirs")
    assert (folder / "set1" / "03.txt").read_text(encoding="utf-8") == "theirs"


@pytest.mark.parametrize("kind", ["came", "went", "replaced"])
def test_files_that_came_or_went_meanwhile_are_found_when_opened(folder: Path, kind: str) -> None:
    Library(folder).close()
    if kind == "came":
        Image.new("RGB", (8, 8)).save(folder / "set0" / "new.png")
    elif kind == "went":
        (folder / "set0" / "04.png").unlink()
    else:
        (folder / "new").write_text("dog", encoding="utf-8")
        (folder / "new").replace(folder / "set0" / "04.txt")
    with Library(folder) as library:
        assert len(library) == {"came": 21, "went": 19, "replaced": 20}[kind]
        assert kind != "replaced" or library.texts[library.row("set0/04.png")] == "dog"


def test_glances_list_nothing_and_find_everything_in_a_few_turns(folder: Path, num_listings: Callable[[], int]) -> None:
    with Library(folder) as library:
        num_listings()
        for _ in range(8):
            assert not library.reload_changed(at_a_glance=True).changed
        assert num_listings() == 0
        in_place(folder / "set1" / "19.txt", "dog")
        found = [library.reload_changed(at_a_glance=True).changed for _ in range(4)]
        assert sum(found, ()) == (library.row("set1/19.png"),) and num_listings() == 0, "only that file is read"
        Image.new("RGB", (8, 8)).save(folder / "set1" / "new.png")
        assert library.reload_changed(at_a_glance=True).added == ("set1/new.png",)
        assert library.reload_changed().added == ()


@pytest.mark.parametrize("kind", ["caption", "picture", "edit"])
def test_what_somebody_sees_is_looked_at_each_time(folder: Path, num_listings: Callable[[], int], kind: str) -> None:
    (folder / "set1" / "19.png.athanor.json").write_text('{"rating": 2}', encoding="utf-8")
    age(folder)
    with Library(folder) as library:
        row = library.row("set1/19.png")
        library.reload_changed()
        num_listings()
        if kind == "caption":
            in_place(folder / "set1" / "19.txt", "dog, theirs")
        elif kind == "picture":
            with (folder / "set1" / "19.png").open("wb") as file:
                Image.new("RGB", (16, 24)).save(file, "PNG")
        else:
            in_place(folder / "set1" / "19.png.athanor.json", '{"rating": 5, "rotate": 90}')
        found = library.reload_changed(at_a_glance=True, seen=[row])
        assert num_listings() == 0
        assert (found.changed, found.redrawn) == (((row,), ()) if kind == "caption" else ((), (row,)))
        assert library.texts[row] == ("dog, theirs" if kind == "caption" else "cat")
        assert library.full_size(row) == ((16, 24) if kind == "picture" else (8, 8))
        assert library.ratings[row] == (5 if kind == "edit" else 2)
        assert not library.reload_changed(at_a_glance=True, seen=[row, 99]).changed and num_listings() == 0


def test_our_own_writes_are_not_taken_for_others(folder: Path) -> None:
    with Library(folder) as library:
        library.apply("all", {row: "dog" for row in range(20)}, wait=True)
        for _ in range(5):
            assert not library.reload_changed(at_a_glance=True).changed
    with Library(folder) as library:
        assert set(library.texts) == {"dog"}
        library.undo(wait=True)
        assert not library.reload_changed(at_a_glance=True).changed and set(library.texts) == {"cat"}


def test_a_folder_is_opened_without_listing_it_right_after_a_batch(
    folder: Path, num_listings: Callable[[], int]
) -> None:
    with Library(folder) as library:
        library.apply("all", {row: "dog" for row in range(20)})
    num_listings()
    with Library(folder) as library:
        assert num_listings() == 0
        assert set(library.texts) == {"dog"}
        library.undo(wait=True)
        assert not library.reload_changed().changed
        library.apply("some", {0: "bird", 1: "fox"})
    num_listings()
    with Library(folder) as library:
        assert num_listings() == 0
        assert library.texts[:3] == ["bird", "fox", "cat"]


def test_what_others_did_while_we_wrote_is_found_at_the_first_look(folder: Path) -> None:
    with Library(folder) as library:
        library.apply("all", {row: "dog" for row in range(20)}, wait=True)
        Image.new("RGB", (8, 8)).save(folder / "set1" / "new.png")
        in_place(folder / "set0" / "02.txt", "theirs")
    with Library(folder) as library:
        found = library.reload_changed(at_a_glance=True)
        assert found.added == ("set1/new.png",) and len(library) == 21
        assert library.texts[library.row("set0/02.png")] == "theirs"


def test_small_folders_are_always_listed(folder: Path, num_listings: Callable[[], int]) -> None:
    glancing.NUM_LISTED = 100  # put back by the fixture's monkeypatch
    Library(folder).close()
    with Library(folder) as library:
        assert num_listings() == 2
        library.reload_changed(at_a_glance=True)
        assert num_listings() == 1


def test_a_folder_that_goes_is_missed_at_a_glance(folder: Path) -> None:
    from backend.config.problems import UserError

    with Library(folder) as library:
        folder.rename(folder.with_name("away"))
        with pytest.raises(UserError, match="pictures"):
            library.reload_changed(at_a_glance=True)
        folder.with_name("away").rename(folder)
        assert not library.reload_changed(at_a_glance=True).changed
