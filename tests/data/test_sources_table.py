"""Tables: CSV and Parquet, pictures by path or in the cells, with the columns that are there or are asked for."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pyarrow as pa
import pytest
from looking import codes, look, only, told
from PIL import Image
from pyarrow import parquet

from backend.data.images import read_rgb
from backend.data.index import Index
from backend.data.pictures import Pictures
from backend.data.stores import open_store


def png(color: str, size: tuple[int, int] = (30, 20)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def table(file: Path, /, **columns: object) -> Path:
    parquet.write_table(pa.table(columns), file, row_group_size=2)
    return file


@pytest.mark.parametrize(("mark", "encoding"), [(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-16"), (",", "gb18030")])
def test_csv_in_the_kinds_that_programs_write(draw, tmp_path: Path, mark: str, encoding: str) -> None:
    draw("a.png")
    draw("b.png")
    rows = [["file_name", "caption"], ["pictures/a.png", '"一只猫, 红色\n第二行"'], ["pictures/b.png", "b"], []]
    path = tmp_path / "set.csv"
    path.write_bytes("\r\n".join(mark.join(row) for row in rows).encode(encoding))
    found = look(path)
    assert told(found) == [("pictures/a.png", ("一只猫, 红色\n第二行",), ""), ("pictures/b.png", ("b",), "")]
    assert [(item.width, item.height) for item in found.images] == [(64, 48)] * 2
    assert found.problems == ()


def test_csv_with_holes(draw, tmp_path: Path) -> None:
    draw("a.png")
    path = tmp_path / "set.csv"
    path.write_text("path,caption,description\npictures/a.png\n,lost,x\npictures/gone.png,g,\n", encoding="utf-8")
    found = look(path, class_tokens="a cat")
    assert [(item.name, item.text) for item in found.images] == [("pictures/a.png", "a cat")]
    assert codes(found) == {"rows_without_picture", "images_unreadable"}


def test_a_column_that_is_missing_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    path = table(tmp_path / "set.parquet", key=["a"], words=["b"])
    problem = only(look(path))
    assert (problem.code, problem.path) == ("column_missing", "data.datasets[0].image_column")
    assert "key, words" in problem.text()
    problem = only(look(path, image_column="key", caption_columns=["words", "more"]))
    assert (problem.code, problem.path, problem.params["value"]) == (
        "column_missing",
        "data.datasets[0].caption_columns",
        "more",
    )
    (tmp_path / "set.csv").write_text("key,words\n", encoding="utf-8")
    assert codes(look(tmp_path / "set.csv")) == {"column_missing"}
    assert codes(look(tmp_path / "set.csv", image_column="key")) == {"dataset_empty"}


def test_parquet_with_sizes_needs_no_picture(tmp_path: Path) -> None:
    path = table(
        tmp_path / "set.parquet",
        image_path=["x/a.png", "/elsewhere/b.png"],
        caption=["a", "b"],
        nl_caption=["A.", None],
        width=[640, 320],
        height=[480, 200],
    )
    found = look(path, image_dir=str(tmp_path / "pictures"))
    assert told(found) == [("x/a.png", ("a",), "A."), ("/elsewhere/b.png", ("b",), "")]
    assert [(item.width, item.height, item.stamp) for item in found.images] == [(640, 480, ""), (320, 200, "")]
    assert found.images[0].location == str(tmp_path / "pictures" / "x" / "a.png")
    # A few are looked for all the same: the folder may be wrong.
    assert (only(found).code, only(found).params["num"]) == ("pictures_missing", 2)


@pytest.mark.parametrize("struct", [False, True])
def test_pictures_in_the_cells_are_read_by_row(tmp_path: Path, struct: bool) -> None:
    colors = ["red", "lime", "blue", "white", "black"]
    data = [png(color) for color in colors]
    cells = pa.array([{"bytes": item, "path": None} for item in data]) if struct else pa.array(data)
    path = table(tmp_path / "set.parquet", image=cells, text=colors)
    found = look(path)
    assert [item.name for item in found.images] == [f"set.parquet/{row}" for row in range(5)]
    assert [item.text for item in found.images] == colors
    assert {(item.width, item.height) for item in found.images} == {(30, 20)}
    store = open_store(found.datasets[0])
    for row in (4, 0, 3, 1, 2):
        assert store.read(found.images[row].location) == data[row]
    assert read_rgb(store.read(found.images[1].location)).getpixel((1, 1)) == (0, 255, 0)


def test_texts_that_a_program_wrote_as_bytes(draw, tmp_path: Path) -> None:
    draw("a.png")
    columns = {"image_path": pa.array([b"pictures/a.png"]), "caption": pa.array(["一只猫".encode()])}
    assert told(look(table(tmp_path / "set.parquet", **columns))) == [("pictures/a.png", ("一只猫",), "")]


def test_a_cell_that_is_empty_or_no_picture(tmp_path: Path) -> None:
    cells = pa.array([png("red"), None, b"no picture"], pa.binary())
    found = look(table(tmp_path / "set.parquet", png=cells, caption=["a", "b", "c"]))
    assert [item.text for item in found.images] == ["a"]
    assert (only(found).code, only(found).params["num"]) == ("images_unreadable", 2)


def test_damaged_tables(tmp_path: Path) -> None:
    path = table(tmp_path / "set.parquet", image_path=["a.png"], caption=["a"])
    path.write_bytes(path.read_bytes()[:-30])
    assert codes(look(path)) == {"table_damaged"}
    (tmp_path / "none.parquet").write_bytes(b"")
    assert codes(look(tmp_path / "none.parquet")) == {"table_damaged"}
    assert codes(look(tmp_path / "gone.csv")) == {"dataset_missing"}
    (tmp_path / "empty.csv").write_bytes(b"")
    assert codes(look(tmp_path / "empty.csv")) == {"column_missing"}


def test_several_files_are_one_table(draw, tmp_path: Path) -> None:
    draw("a.png")
    draw("b.png")
    (tmp_path / "tables").mkdir()
    for name in "ab":
        table(tmp_path / "tables" / f"{name}.parquet", path=[f"{name}.png"], caption=[name])
    folder = {"image_dir": str(tmp_path / "pictures")}
    for path in (tmp_path / "tables" / "*.parquet", tmp_path / "tables"):
        assert [item.name for item in look(path, source="table", **folder).images] == ["a.png", "b.png"]


def test_contents_of_a_table_with_sizes_are_hashed_once(draw, tmp_path: Path) -> None:
    """Its pictures have no stamp from the scan: it is asked for where it is needed."""
    picture = draw("a.png")
    found = look(table(tmp_path / "set.parquet", path=["pictures/a.png"], caption=["a"], width=[64], height=[48]))
    (record,) = found.images
    assert record.stamp == ""
    with Index(tmp_path) as index:
        first = Pictures(found.datasets, index)
        expected = first.content_hash(record)
        first.remember()
        second = Pictures(found.datasets, index)
        second.learn([record])
        assert second.knows(record)
        assert second.content_hash(record) == expected
        Image.new("RGB", (64, 48), "blue").save(picture, compress_level=1)
        third = Pictures(found.datasets, index)
        third.learn([record])
        assert not third.knows(record)


def test_a_picture_that_is_named_very_often_is_found_as_fast(draw, tmp_path: Path) -> None:
    draw("a.png")
    num = 30_000
    names = ["pictures/a.png"] * num
    start = time.process_time()
    found = look(table(tmp_path / "set.parquet", image_path=names, caption=names, width=[64] * num, height=[48] * num))
    assert time.process_time() - start < 20, "in the square of their number it takes minutes"
    assert len({item.name for item in found.images}) == num and found.images[-1].name == f"pictures/a.png ({num})"
