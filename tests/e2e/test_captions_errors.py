"""What goes wrong on the caption page, in a real browser: said in plain words, and nothing of the user's is lost."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from captions_in_browser import nobody_looks, opened, saved
from live_app import App
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from backend.editing.pictures import recall

OpenPage = Callable[..., Page]
LONG = "ä" * 125  # with ".jpg" 254 bytes: as long as a name may be


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(8):
        path = folder / f"{number:02}.jpg"
        Image.new("RGB", (64, 48), (number * 30, 90, 200)).save(path)
        path.with_suffix(".txt").write_text(f"cat, tag{number % 2}", encoding="utf-8")
    return folder


@pytest.fixture
def page(app: App, open_page: OpenPage, pictures: Path) -> Page:
    return opened(open_page(f"{app.url}/en/#captions"), pictures)


def said(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.locator(".captions-note.is-error")).to_contain_text(text)


def add(page: Page, name: str, tag: str) -> None:
    page.locator(".caption-tile", has_text=name).click()
    expect(page.locator(".caption-head strong")).to_have_text(name)
    page.keyboard.press("Enter")
    page.keyboard.type(tag)
    page.keyboard.press("Enter")
    expect(page.locator(".chip", has_text=tag)).to_be_visible()


def preview_all(page: Page, find: str, replacement: str) -> None:
    page.locator("#captions-tab-batch").click()
    page.locator("#captions-operation").select_option("replace")
    page.locator("#captions-batch-find").fill(find)
    page.locator("#captions-batch-replacement").fill(replacement)
    page.locator("#captions-batch-mode").select_option("tag")
    page.locator("#captions-scope").select_option("all")
    expect(page.locator(".batch-count")).to_have_text("Changes 8 of 8 captions")


def replace_all(page: Page, find: str, replacement: str) -> None:
    preview_all(page, find, replacement)
    page.locator("#captions-apply").click()


def texts(folder: Path) -> list[str]:
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.txt")) if path.is_file()]


@pytest.fixture
def full_disk(app: App) -> Iterator[Callable[[int], None]]:
    """Return a function that lets the app write no file longer than so many bytes: to it the disk is full."""
    if not hasattr(psutil.Process, "rlimit"):
        pytest.skip("this system does not limit other processes")
    assert app.process is not None
    process = psutil.Process(app.process.pid)
    kind, old = resource.RLIMIT_FSIZE, process.rlimit(resource.RLIMIT_FSIZE)
    yield lambda num_bytes: process.rlimit(kind, (num_bytes if num_bytes >= 0 else old[0], old[1]))
    process.rlimit(kind, old)


def test_on_a_full_disk_nothing_is_changed_and_all_is_saved_when_there_is_room(
    page: Page, pictures: Path, full_disk: Callable[[int], None]
) -> None:
    before = texts(pictures)
    full_disk(0)
    add(page, "01.jpg", "typed")
    said(page, "The disk is full")
    expect(page.locator(".captions-saved")).to_have_text("Not saved")
    assert texts(pictures) == before
    expect(page.locator(".chip", has_text="typed")).to_be_visible()
    full_disk(-1)
    saved(page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "cat, tag1, typed"


def test_a_batch_on_a_full_disk_changes_nothing_or_is_written_again(
    page: Page, pictures: Path, full_disk: Callable[[int], None]
) -> None:
    before = texts(pictures)
    full_disk(0)
    replace_all(page, "cat", "dog")
    said(page, "The disk is full")
    assert texts(pictures) == before
    full_disk(-1)
    page.locator("#captions-apply").click()
    expect(page.locator(".captions-note")).to_contain_text("8 captions changed")
    saved(page)
    assert texts(pictures) == [text.replace("cat", "dog") for text in before]
    page.locator("#captions-undo").click()
    expect(page.locator(".captions-note")).to_contain_text("Undone")
    saved(page)
    assert texts(pictures) == before


def test_a_caption_that_cannot_be_written_stops_no_other_and_is_kept(page: Page, pictures: Path) -> None:
    place = pictures / "03.txt"
    with nobody_looks(page):
        preview_all(page, "cat", "dog")
        place.unlink()
        place.mkdir()
        (place / "something").write_bytes(b"")  # a folder is where the file should go: no permission in the world helps
        page.locator("#captions-apply").click()
        expect(page.locator(".captions-note")).to_contain_text("8 captions changed")
    expect(page.locator(".captions-saved")).to_have_text("1 changed outside")
    assert texts(pictures) == [f"dog, tag{number % 2}" for number in range(8) if number != 3]
    page.locator("#captions-tab-picture").click()
    page.locator(".caption-tile", has_text="03.jpg").click()
    conflict = page.locator(".caption-conflict")
    expect(conflict).to_contain_text("dog, tag1")
    conflict.get_by_role("button", name="Write mine").click()
    expect(page.locator(".captions-saved")).not_to_have_class(re.compile("is-saved"))
    shutil.rmtree(place)
    # As the file comes and goes it is "changed outside" or "not saved": what is offered then writes it.
    offered = ".caption-conflict .captions-tools button:last-child, [data-tool=retry]"
    for _ in range(60):
        if place.is_file():
            break
        page.evaluate("(offered) => document.querySelector(offered)?.click()", offered)
        page.wait_for_timeout(1000)
    saved(page)
    assert place.read_text(encoding="utf-8") == "dog, tag1"


# Root may write everywhere, unless it gives that up.
CAPABILITIES = "-dac_override,-dac_read_search,-fowner"
WITHOUT_RIGHTS = ("setpriv", "--bounding-set", CAPABILITIES, "--inh-caps", CAPABILITIES)


@pytest.fixture
def bound_page(open_page: OpenPage, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Return the page of an app to which files can be forbidden."""
    starter = WITHOUT_RIGHTS if hasattr(os, "geteuid") and os.geteuid() == 0 else ()
    if starter and (not shutil.which("setpriv") or subprocess.run([*starter, "true"], check=False).returncode):
        pytest.skip("root may write everywhere")
    bound = App(tmp_path_factory.mktemp("bound"), starter=starter)
    bound.start()
    yield opened(open_page(f"{bound.url}/en/#captions"), pictures)
    bound.close()


def test_what_may_not_be_written_is_said_beside_all_else_kept_and_tried_again(bound_page: Page, pictures: Path) -> None:
    page = bound_page
    failed, note = page.locator(".captions-failed"), page.locator(".captions-note")
    (pictures / "02.txt").chmod(0o444)
    replace_all(page, "cat", "dog")
    expect(failed).to_contain_text("'02.txt' cannot be written")
    expect(note).to_contain_text("8 captions changed")
    expect(page.locator(".captions-saved")).to_have_text("Not saved")
    assert (pictures / "02.txt").read_text(encoding="utf-8") == "cat, tag0"
    (pictures / "02.txt").chmod(0o644)
    page.locator("[data-tool=retry]").click()
    saved(page)
    expect(failed).to_be_hidden()
    assert texts(pictures) == [f"dog, tag{number % 2}" for number in range(8)]


def test_a_folder_that_may_not_be_written_takes_what_is_typed_once_it_may(bound_page: Page, pictures: Path) -> None:
    pictures.chmod(0o555)
    add(bound_page, "01.jpg", "typed")
    expect(bound_page.locator(".captions-failed")).to_contain_text("cannot be written")
    expect(bound_page.locator(".captions-saved")).to_have_text("Not saved")
    pictures.chmod(0o755)
    bound_page.locator("[data-tool=retry]").click()
    saved(bound_page)
    assert (pictures / "01.txt").read_text(encoding="utf-8") == "cat, tag1, typed"


def test_a_folder_that_vanishes_in_the_middle_of_a_batch_loses_nothing(page: Page, pictures: Path) -> None:
    before = texts(pictures)
    away = pictures.with_name("away")
    pictures.rename(away)
    replace_all(page, "cat", "dog")
    said(page, "no longer there")
    expect(page.locator(".batch-count")).to_have_text("Changes 8 of 8 captions")
    page.locator("#captions-reopen").click()
    said(page, "There is no folder")
    away.rename(pictures)
    assert texts(pictures) == before
    page.locator("#captions-reopen").click()
    expect(page.locator(".captions-note.is-error")).to_have_count(0)
    page.locator("#captions-apply").click()
    expect(page.locator(".captions-note")).to_contain_text("8 captions changed")
    saved(page)


@pytest.fixture
def refused_undo(page: Page, pictures: Path) -> Locator:
    """Undo a batch of which somebody else has changed a file since; return what is said."""
    replace_all(page, "cat", "dog")
    expect(page.locator(".captions-note")).to_contain_text("8 captions changed")
    saved(page)
    (pictures / "04.txt").write_text("theirs", encoding="utf-8")
    page.locator("#captions-undo").click()
    note = page.locator(".captions-note")
    expect(note).to_contain_text("04.txt")
    assert (pictures / "04.txt").read_text(encoding="utf-8") == "theirs"
    return note


def test_undo_runs_over_changes_from_outside_only_when_one_says_so(
    page: Page, pictures: Path, refused_undo: Locator
) -> None:
    refused_undo.get_by_role("button", name="Overwrite").click()
    expect(refused_undo).to_contain_text("Undone")
    saved(page)
    assert (pictures / "04.txt").read_text(encoding="utf-8") == "cat, tag0"


def test_undo_goes_on_without_a_file_that_others_changed(page: Page, pictures: Path, refused_undo: Locator) -> None:
    refused_undo.get_by_role("button", name="Keep").click()
    expect(refused_undo).to_contain_text("Undone")
    saved(page)
    assert (pictures / "04.txt").read_text(encoding="utf-8") == "theirs"
    assert (pictures / "05.txt").read_text(encoding="utf-8") == "cat, tag1"


def test_a_picture_with_a_very_long_name_has_a_caption_like_others(page: Page, pictures: Path) -> None:
    Image.new("RGB", (40, 40)).save(pictures / f"{LONG}.jpg")
    tile = page.locator(".caption-tile", has_text=LONG)
    expect(tile).to_be_visible()
    add(page, f"{LONG}.jpg", "long")
    saved(page)
    assert (pictures / f"{LONG}.txt").read_text(encoding="utf-8") == "long"


def test_what_cannot_be_read_is_named_and_the_rest_is_shown(app: App, open_page: OpenPage, pictures: Path) -> None:
    (pictures / "02.jpg").write_bytes(b"no picture")
    (pictures / "05.txt").unlink()
    (pictures / "05.txt").mkdir()
    page = opened(open_page(f"{app.url}/en/#captions"), pictures)
    note = page.locator(".captions-note")
    expect(note).to_contain_text("02.jpg")
    expect(page.locator(".caption-tile.is-broken")).to_have_count(1)
    expect(page.locator(".caption-tile")).to_have_count(8)
    page.fill("#captions-folder", str(pictures / "00.jpg"))
    page.press("#captions-folder", "Enter")
    said(page, re.compile("is a file|not a folder", re.I))
    expect(page.locator(".caption-tile")).to_have_count(8)


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_the_program_after_a_batch_finds_all_written_and_known(
    signal_number: int, open_page: OpenPage, pictures: Path, tmp_path: Path
) -> None:
    app = App(tmp_path / "home")
    app.home.mkdir()
    app.start()
    assert app.process is not None
    page = opened(open_page(f"{app.url}/en/#captions"), pictures)
    replace_all(page, "cat", "dog")
    expect(page.locator(".captions-note")).to_contain_text("8 captions changed")
    app.process.send_signal(signal_number)
    assert app.process.wait(60) == 0, "the tab that is open holds it up"
    assert "Traceback" not in app.log
    page.context.close()
    wanted = [f"dog, tag{number % 2}" for number in range(8)]
    assert texts(pictures) == wanted
    (known,) = app.home.rglob("*.rows")
    assert recall(known)[0].texts == wanted, "the next time no caption has to be read again"


def test_what_is_typed_while_the_program_is_gone_is_saved_when_it_is_back(app: App, page: Page, pictures: Path) -> None:
    app.kill()
    add(page, "02.jpg", "offline")
    said(page, "does not answer")
    expect(page.locator(".captions-saved")).to_have_class(re.compile("is-failed"))
    assert (pictures / "02.txt").read_text(encoding="utf-8") == "cat, tag0"
    app.start()
    page.reload()
    expect(page.locator(".caption-tile", has_text="02.jpg").locator(".tile-text")).to_have_text("cat, tag0, offline")
    saved(page)
    assert (pictures / "02.txt").read_text(encoding="utf-8") == "cat, tag0, offline"
