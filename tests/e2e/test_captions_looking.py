"""The caption page in a real browser beyond captions: what goes together, rare tags, duplicates, scores, lists."""

from __future__ import annotations

import os
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from captions_in_browser import counts
from live_app import App
from PIL import Image, ImageDraw
from playwright.sync_api import Locator, Page, expect

OpenPage = Callable[..., Page]


def draw(path: Path, seed: int, quality: int) -> None:
    """Write a picture that only looks like others of the same seed."""
    generator = random.Random(seed)
    image = Image.new("RGB", (128, 96), tuple(generator.randrange(256) for _ in range(3)))
    pen = ImageDraw.Draw(image)
    for _ in range(8):
        left, top = generator.randrange(100), generator.randrange(70)
        pen.rectangle((left, top, left + 40, top + 30), fill=tuple(generator.randrange(256) for _ in range(3)))
    image.save(path, quality=quality)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return twelve pictures; the first two look the same."""
    folder = tmp_path / "pictures 图"
    folder.mkdir()
    for number in range(12):
        path = folder / f"{number:02} (a).jpg"
        draw(path, max(1, number), 95 if number else 70)
        tags = ["cat", *(["pet"] if number % 3 else []), *(["blue eys"] if number == 7 else [])]
        path.with_suffix(".txt").write_text(", ".join(tags), encoding="utf-8")
    return folder


@pytest.fixture
def page(app: App, open_page: OpenPage, pictures: Path) -> Page:
    page = open_page(f"{app.url}/en/#captions")
    page.fill("#captions-folder", str(pictures))
    page.press("#captions-folder", "Enter")
    counts(page, "12 pictures")
    return page


def row_of(page: Page, tag: str) -> Locator:
    return page.locator(".all-tags > li", has=page.locator(f'.tag-main[data-tag="{tag}"]'))


def open_likeness(page: Page) -> Locator:
    page.locator('[data-part="likeness"] summary').click()
    return page.locator('[data-part="likeness"]')


def test_what_goes_with_a_tag_is_told_and_filtered_by(page: Page) -> None:
    row = row_of(page, "cat")
    row.locator("[data-tool=together]").click()
    expect(row.locator('.together [data-both="pet"] b')).to_have_text("8 · 67 %")
    expect(row.locator('.together [data-both="blue eys"] b')).to_have_text("1 · 8.3 %")
    row.locator('[data-both="pet"]').click()
    counts(page, "8 of 12 pictures")
    expect(page.locator("#captions-filter")).to_have_value('tag:"cat" and tag:"pet"')
    row.locator("[data-tool=together]").click()
    expect(page.locator(".together")).to_have_count(0)


def test_tags_of_few_pictures_are_listed_shown_and_corrected(page: Page, pictures: Path) -> None:
    page.locator("#captions-tag-fewer").fill("3")
    expect(page.locator(".all-tags .tag-main")).to_have_count(1)
    expect(page.locator(".all-tags .tag-main span")).to_have_text(["blue eys"])
    page.locator('[data-part="fewer-show"]').click()
    counts(page, "1 of 12 pictures")
    page.locator("[data-tool=choose-listed]").click()
    page.locator("[data-tool=rename]").click()
    page.locator("#captions-asked").fill("blue eyes")
    page.keyboard.press("Enter")
    expect(page.locator(".captions-note")).to_contain_text("1 caption changed")
    expect(page.locator(".captions-saved")).to_have_class(re.compile("is-saved"))
    assert (pictures / "07 (a).txt").read_text(encoding="utf-8") == "cat, pet, blue eyes"


def test_pictures_are_looked_at_from_the_filter_that_needs_it(page: Page, pictures: Path) -> None:
    box = page.locator("#captions-filter")
    box.fill("dup")
    expect(page.locator(".filter-error")).to_contain_text("not been looked at")
    counts(page, re.compile("^12 pictures"))
    page.locator(".filter-error [data-tool=look]").click()
    counts(page, "2 of 12 pictures")
    expect(page.locator(".filter-error")).to_be_hidden()
    expect(page.locator('[data-part="looking"]')).to_be_hidden()
    draw(pictures / "99.jpg", 1, 60)
    box.fill("")
    counts(page, re.compile("^13 pictures"))
    box.fill("dup")
    expect(page.locator('[data-part="looking"]')).to_contain_text("1 picture")
    page.locator('[data-part="looking"] [data-tool=look]').click()
    counts(page, "3 of 13 pictures")
    box.fill("")
    page.locator(".caption-tile", has_text="99.jpg").click()
    page.locator("[data-tool=more]").click()
    page.locator("[data-tool=similar]").click()
    expect(box).to_have_value('similar:"99.jpg"')
    counts(page, "3 of 13 pictures")


def test_looking_can_be_ended_and_goes_on_where_it_was(app: App, open_page: OpenPage, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    # Large enough that looking at all of them takes far longer than ending it, on any machine.
    for number in range(3000):
        path = folder / f"{number:04}.png"
        if number < 4:
            Image.effect_noise((1000, 1000), 90).save(path, compress_level=1)
        else:
            os.link(folder / f"{number % 4:04}.png", path)
    page = open_page(f"{app.url}/en/#captions")
    page.fill("#captions-folder", str(folder))
    page.press("#captions-folder", "Enter")
    counts(page, "3,000 pictures")
    box = open_likeness(page)
    looking = page.locator('[data-part="looking"]')

    known = box.locator("[data-known=looks]")

    def look_for_a_while(num_known: int) -> int:
        """Look at pictures, end that, and return how many are looked at."""
        box.locator("[data-tool=look]").click()
        expect(looking).to_contain_text(f"of {3000 - num_known:,}")
        looking.locator("[data-tool=look-stop]").click()
        expect(looking).to_be_hidden()
        expect(known).to_have_text(re.compile(rf"^(?!{num_known:,} )[\d,]+ of 3,000 looked at"))
        return int(known.inner_text().split()[0].replace(",", ""))

    first = look_for_a_while(0)
    assert 0 < first < 3000
    second = look_for_a_while(first)
    assert first < second < 3000


@pytest.fixture
def models(app: App) -> Iterator[Path]:
    """Return where models are looked for; what is put there is taken away again."""
    folder = app.home / "models" / "taggers"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_pictures_are_scored_and_embedded_by_runs(page: Page, models: Path) -> None:
    captioners = pytest.importorskip("tiny_captioners", reason="transformers is not installed")
    captioners.scorer(models / "cafe-aesthetic", ("not_aesthetic", "aesthetic"))
    captioners.siglip(models / "siglip-base")
    page.locator("#captions-filter").fill("score: > 0.5")
    page.locator("[data-tool=score-open]").click()
    box = page.locator('[data-part="likeness"]')
    box.locator("[data-tool=scorer]").click()
    expect(box.locator("[data-known=scorer]")).to_have_text("12 of 12 scored")
    counts(page, re.compile("^12 pictures"))
    expect(page.locator(".filter-error")).to_be_hidden()
    box.locator("[data-tool=best]").click()
    expect(page.locator("#captions-sort")).to_have_value("score")
    box.locator("[data-tool=embedding]").click()
    expect(box.locator("[data-known=embedding]")).to_have_text("12 of 12 known")
    box.locator("[data-tool=unusual]").click()
    expect(page.locator("#captions-sort")).to_have_value("unusual")
    expect(page.locator(".captions-note.is-error")).to_have_count(0)


def test_a_model_that_is_missing_offline_is_said_where_it_is_asked_for(page: Page) -> None:
    box = open_likeness(page)
    expect(box.locator('[data-kind="scorer"]')).to_contain_text("offline")
    box.locator("[data-tool=scorer]").click()
    expect(box.locator('[data-kind="scorer"] .field-error')).to_contain_text("cafe", ignore_case=True)


def test_lists_of_tags_are_chosen_and_kept(page: Page, tmp_path: Path) -> None:
    words, translations = tmp_path / "mine.csv", tmp_path / "words.csv"
    words.write_text("cat,4,100,kitty\nfoxglove,0,50,\n", encoding="utf-8")
    translations.write_text("cat,猫\npet,宠物\n", encoding="utf-8")
    page.locator("[data-tool=lists]").click()
    page.locator("#captions-tag-list").fill(str(tmp_path / "none.csv"))
    page.keyboard.press("Tab")
    expect(page.locator(".lists-told .field-error")).to_contain_text("none.csv")
    page.locator("#captions-tag-list").fill(str(words))
    page.locator("#captions-tag-translations").fill(str(translations))
    page.keyboard.press("Tab")
    expect(page.locator(".lists-told")).to_contain_text("2 tags and 2 translations")
    expect(page.locator(".lists-told .field-error")).to_have_count(0)
    page.locator("[data-tool=lists-close]").click()
    expect(row_of(page, "cat").locator("small")).to_have_text("猫")
    expect(page.locator('.tag-main[data-tag="cat"]')).to_have_class(re.compile("cat-character"))
    page.locator("#captions-tag-search").fill("宠")
    expect(page.locator(".all-tags .tag-main span")).to_have_text(["pet"])
    page.locator(".caption-tile").first.click()
    page.keyboard.press("Enter")
    page.keyboard.type("foxg")
    expect(page.locator(".suggestions li")).to_have_count(1)
    page.keyboard.press("Escape")
    page.reload()
    counts(page, "12 pictures")
    page.locator("[data-tool=lists]").click()
    expect(page.locator("#captions-tag-list")).to_have_value(str(words))
    page.locator("#captions-tag-list").fill("")
    page.locator("#captions-tag-translations").fill("")
    page.keyboard.press("Tab")
    expect(page.locator(".lists-told")).not_to_contain_text("2 tags and 2")
