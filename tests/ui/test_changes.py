"""Changes of a draft by path, in words, and taken back."""

from __future__ import annotations

from typing import Any

import pytest

from ui import changes

DATA: dict[str, Any] = {"data": {"datasets": [{"path": "a"}, {"path": "b", "exclude": ["x"]}], "crop": "corner"}}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data.datasets[1].exclude", ["x", "y"]),
        ("data.datasets[0].trigger_word", ""),
        ("data.crop", None),
        ("training.batch_size", 2),
        ("data.datasets", None),
    ],
)
def test_a_change_is_made_and_taken_back(path: str, value: Any) -> None:
    wanted = [(path, value)]
    undo = changes.before(DATA, wanted)
    changed = changes.applied(DATA, wanted)
    assert changes.get(changed, path) == value
    assert DATA["data"]["crop"] == "corner" and len(DATA["data"]["datasets"]) == 2, "the old draft is not touched"
    back = changes.applied(changed, undo)
    assert {name: table for name, table in back.items() if table} == DATA


def test_a_path_that_leads_nowhere_has_no_value() -> None:
    for path in ("data.datasets[7].path", "data.crop.deeper", "nothing.at.all", "data[0]"):
        assert changes.get(DATA, path) is None


@pytest.mark.parametrize(
    ("path", "old", "new", "text"),
    [
        ("data.datasets[0].exclude", None, ["a", "b"], "Left out: 0 entries → 2 entries"),
        ("data.datasets[0].crop", None, "center", "Crop: as general → centre"),
        ("data.datasets[0].trigger_word", "zkz", "", "Trigger word: zkz → -"),
        ("data.datasets[0].num_repeats", 1.0, 2.5, "Repeats: 1 → 2.5"),
        ("data.enable_bucket", None, False, "Aspect-ratio buckets: on → off"),
        ("model.max_token_length", 75, 225, "Caption length: 75 → 225"),
        ("sampling.prompts[0].prompt", "a", "b", "Prompt: a → b"),
    ],
)
def test_a_change_in_words(path: str, old: Any, new: Any, text: str) -> None:
    assert changes.in_words(path, old, new, "en") == text


def test_a_change_in_chinese_names_the_parameter() -> None:
    assert changes.in_words("data.datasets[0].crop", None, "center", "zh-CN").startswith("裁剪：")
