import io

import pytest
from PIL import Image

from backend.config.problems import UserError
from ui.samples import MAX_COLUMNS, Cell, thumbnail, wall


def cells(num_steps: int, num_prompts: int) -> list[Cell]:
    return [
        Cell(step * 10, prompt, f"prompt {prompt}", f"{step * 10}-{prompt}.png", 42)
        for step in range(num_steps)
        for prompt in range(num_prompts)
    ]


def test_columns_are_steps_and_rows_are_prompts() -> None:
    shown = wall(cells(3, 2))
    assert shown.steps == (0, 10, 20)
    assert shown.prompts == ("prompt 0", "prompt 1")
    assert shown.rows[1][2].path == "20-1.png"


def test_a_missing_picture_leaves_a_gap() -> None:
    shown = wall([cell for cell in cells(3, 2) if cell.path != "10-0.png"])
    assert [cell and cell.step for cell in shown.rows[0]] == [0, None, 20]


def test_a_long_run_shows_a_bounded_number_of_columns_and_can_be_paged() -> None:
    many = cells(100, 1)
    newest = wall(many)
    assert len(newest.steps) == MAX_COLUMNS and newest.steps[-1] == 990
    older = wall(many, end=newest.first_column)
    assert older.steps[-1] < newest.steps[0] and len(older.steps) == MAX_COLUMNS
    assert wall(many, end=3).steps[0] == 0, "the first page is full"


def test_the_index_for_the_viewer_has_every_picture_and_survives_markup_in_prompts() -> None:
    shown = wall([Cell(0, 0, "</script><script>", "a b.png", None), *cells(60, 1)[1:]])
    index = shown.index("/runs/x")
    assert index.count(".png") == 60 and "a%20b.png" in index


def test_thumbnails_are_small_and_follow_the_file(tmp_path) -> None:
    path = tmp_path / "图 片.png"
    Image.new("RGBA", (900, 600), (255, 0, 0, 128)).save(path)
    first = thumbnail(path)
    with Image.open(io.BytesIO(first)) as small:
        assert max(small.size) == 256
    path.write_bytes(b"not a picture")
    with pytest.raises(UserError) as caught:
        thumbnail(path)
    assert caught.value.problem.code == "file_unreadable"
