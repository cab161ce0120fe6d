"""What the caption page says of captions of several lines is what training makes of them."""

from __future__ import annotations

from pathlib import Path

from backend.config.data import DataSection
from ui.captions_lines import line_rule, with_line_rule


def test_the_rule_of_the_pictures_own_data_set_counts(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    cat, dog = tmp_path / "cats" / "0.png", tmp_path / "dogs" / "0.png"
    data = {"data": {"caption_lines": "first", "datasets": [{"path": str(tmp_path / "cats")}]}}
    assert line_rule({}, cat) == DataSection().caption_lines
    assert line_rule(data, cat) == line_rule(data, dog) == "first"
    mine = with_line_rule(data, cat, "random")
    assert (line_rule(mine, cat), line_rule(mine, dog)) == ("random", "first")
    section = DataSection.model_validate(mine["data"])
    assert section.rules_of(section.datasets[0]).caption_lines == "random"
    assert line_rule(with_line_rule(data, dog, "random"), cat) == "random", "in none of them: all read so"
