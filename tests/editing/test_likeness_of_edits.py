"""What looking told of a picture is of how it is cut: another cut is another picture, for hashes and scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.data.filesystems import LocalFiles
from backend.data.picture_edits import EDIT_SUFFIX, PictureEdit, edit_text
from backend.editing.library import Library
from taggers.base import Described, Picture
from taggers.findings import Findings

CUT = PictureEdit(crop=(0, 0, 64, 48), size=(96, 64))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    noise = np.random.default_rng(3).integers(0, 256, (64, 96, 3), np.uint8)
    for name in ("a.png", "b.png"):
        Image.fromarray(noise).save(folder / name)
    return folder


def test_copies_that_are_cut_differently_are_no_copies(pictures: Path) -> None:
    with Library(pictures) as library:
        library.look()
        assert library.duplicates().tolist() == [True, True]
        library.edit_pictures("cut", {1: CUT})
        assert library.likeness().looks[1] is None, "nobody has looked at it as it is now"
        library.look()
        assert library.likeness().num_looked == 2
        assert library.duplicates().tolist() == [False, False]
        library.edit_pictures("cut both", {0: CUT})
        library.look()
        assert library.duplicates().tolist() == [True, True]
        library.rate("rate", [0], 5)
        assert library.duplicates().tolist() == [True, True]


def test_scores_are_of_the_picture_as_it_is_cut(pictures: Path) -> None:
    path = pictures / "a.png"
    picture = Picture(str(pictures), "a.png", path, LocalFiles().stamp(str(path)))

    def score(value: float) -> None:
        findings = Findings("tiny", "scorer")
        findings.put(picture, Described(rating=value))
        findings.flush()

    score(0.25)
    assert Findings("tiny", "scorer").unknown([picture]) == []
    with Library(pictures) as library:
        assert library.likeness().scores[0] == 0.25
        (pictures / f"a.png{EDIT_SUFFIX}").write_text(edit_text(CUT) or "", encoding="utf-8")
        assert Findings("tiny", "scorer").unknown([picture]) == [picture]
        library.reload_changed()
        assert np.isnan(library.likeness().scores[0])
        score(0.75)
        library.forget_likeness()
        assert library.likeness().scores[0] == 0.75
