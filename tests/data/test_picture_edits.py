"""Edits of pictures: read back as written, applied as described, refused when damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from backend.config.problems import UserError
from backend.data.picture_edits import NO_EDIT, PictureEdit, apply_edit, edit_text, parse_edit, turned_on


def image(width: int = 6, height: int = 4) -> Image.Image:
    return Image.fromarray(np.arange(width * height, dtype=np.uint8).reshape(height, width))


@st.composite
def edits(draw: st.DrawFn) -> PictureEdit:
    rotate = draw(st.sampled_from([0, 90, 180, 270]))
    across, down = (6, 4) if rotate in (0, 180) else (4, 6)
    left, top = draw(st.integers(0, across - 1)), draw(st.integers(0, down - 1))
    crop = (left, top, draw(st.integers(1, across - left)), draw(st.integers(1, down - top)))
    is_cut = draw(st.booleans())
    rating = draw(st.integers(0, 5))
    return PictureEdit(rotate, crop if is_cut else None, (across, down) if is_cut else None, rating)


@given(edits())
def test_an_edit_is_read_back_as_it_was_written(edit: PictureEdit) -> None:
    assert parse_edit(edit_text(edit) or "", "a.png") == edit


@given(edits(), st.sampled_from([0, 90, 180, 270, 360, -90]))
def test_turning_an_edit_on_turns_what_it_shows(edit: PictureEdit, degrees: int) -> None:
    shown = np.asarray(apply_edit(image(), edit))
    turned = np.asarray(apply_edit(image(), turned_on(edit, degrees)))
    np.testing.assert_array_equal(turned, np.rot90(shown, -degrees // 90))


@given(edits())
def test_the_size_is_told_without_decoding(edit: PictureEdit) -> None:
    assert apply_edit(image(), edit).size == edit.shown((6, 4))
    assert edit.fits((6, 4)) and (edit.crop is None or not edit.fits((12, 8)))


def test_a_quarter_turn_is_clockwise_and_cuts_afterwards() -> None:
    shown = apply_edit(image(), PictureEdit(90, (0, 0, 2, 1), (4, 6)))
    assert np.asarray(shown).tolist() == [[18, 12]]


def test_a_mask_of_another_size_is_cut_alike() -> None:
    mask = Image.new("L", (12, 8))
    mask.paste(255, (6, 0, 12, 8))
    shown = apply_edit(mask, PictureEdit(0, (3, 0, 3, 4), (6, 4)))
    assert shown.size == (6, 8) and shown.getextrema() == (255, 255)


def test_nothing_to_record_needs_no_file() -> None:
    assert edit_text(NO_EDIT) is None and parse_edit("", "a.png") == NO_EDIT


@pytest.mark.parametrize(
    "told",
    [
        "[]",
        "{",
        '"crop"',
        {"rotate": 45},
        {"rating": 6},
        {"rating": 2.5},
        {"crop": [0, 0, 4, 4]},
        {"crop": [0, 0, 7, 4], "size": [6, 4]},
        {"crop": [-1, 0, 4, 4], "size": [6, 4]},
        {"crop": [0, 0, 0, 4], "size": [6, 4]},
        {"crop": [0, 0, 4.5, 4], "size": [6, 4]},
    ],
)
def test_a_damaged_file_is_named(told: object) -> None:
    with pytest.raises(UserError) as refused:
        parse_edit(told if isinstance(told, str) else json.dumps(told), "cat.png.athanor.json")
    assert refused.value.problem.code == "picture_edit_damaged"
    assert "cat.png.athanor.json" in refused.value.problem.text()


def test_a_file_of_a_later_version_is_not_guessed_at() -> None:
    with pytest.raises(UserError) as refused:
        parse_edit('{"version": 2, "tilt": 3}', "cat.png.athanor.json")
    assert refused.value.problem.code == "picture_edit_too_new"


@given(edits(), st.integers(1, 12), st.integers(1, 12))
def test_of_a_mask_of_any_size_something_is_left(edit: PictureEdit, width: int, height: int) -> None:
    mask = image(width, height)
    cut = apply_edit(mask, edit)
    assert 1 <= cut.width <= max(mask.size)
    assert 1 <= cut.height <= max(mask.size)
