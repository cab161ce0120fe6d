"""Tags that come with the program: for completion and translation, until the user has a list of their own."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from backend.config.messages import languages
from backend.editing.autocomplete import Completer
from backend.editing.tag_lists import plain
from ui.captions_words import BUNDLED_DIR, Words, bundled


def words(folder: Path, language: str) -> Words:
    return Words(lambda: (folder / "list.csv", folder / "translations.csv"), language)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path))
    (tmp_path / "tags").mkdir()
    return tmp_path / "tags"


def test_the_bundled_list_is_whole() -> None:
    known, translations = bundled("zh-CN")
    names = [plain(tag.name) for tag in known.tags]
    assert len(names) >= 500 and len(set(names)) == len(names)
    assert {tag.category for tag in known.tags} == {0, 5}
    assert set(translations) == set(names)
    assert all(word.strip() for word in translations.values())
    assert bundled("en")[1] == {}


def test_it_is_laid_out_as_others_are() -> None:
    for path in BUNDLED_DIR.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        assert header in (["tag", "category", "count", "aliases"], ["tag", "translation"]), path.name
        assert all(len(row) == len(header) for row in rows)


def test_tags_are_found_by_what_they_are_called_here(home: Path) -> None:
    chinese, english = (words(home, language).lists() for language in ("zh-CN", "en"))
    assert chinese.translations["twintails"] == "双马尾" and not english.translations
    found = [Completer({}, lists.known, lists.translations).complete("双马尾") for lists in (chinese, english)]
    assert [each.tag for each in found[0]] == ["twintails", "low twintails"] and not found[1]


@pytest.mark.parametrize("language", languages())
def test_the_lists_of_the_user_come_first(home: Path, language: str) -> None:
    of = words(home, language)
    assert of.lists().known.find("twintails") is not None
    (home / "list.csv").write_text("my_tag,4,10,\n", encoding="utf-8")
    (home / "translations.csv").write_text("smile,笑容\n", encoding="utf-8")
    lists = of.lists()
    assert [tag.name for tag in lists.known.tags] == ["my_tag"]
    assert lists.translations["smile"] == "笑容" and not lists.problems
