"""Pictures on the caption page in a real browser: cut, masked, rated, copied, moved, thrown away; mouse and keys."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from live_app import App
from PIL import Image, ImageDraw
from playwright.sync_api import Locator, Page, expect

OpenPage = Callable[..., Page]
KeepPicture = Callable[[Page, str], None]
SKY, GRASS = (60, 120, 230), (70, 140, 60)
DRAFT = """version = 2
[data]
width = 512
height = 512
[[data.datasets]]
path = {cats}
name = "Cats"
[[data.datasets]]
path = {others}
name = "Others"
"""


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data sets 数据集")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, sets: Path) -> Iterator[App]:
    home = tmp_path_factory.mktemp("home 主页")
    for name in ("cats", "others"):
        (sets / name).mkdir()
    texts = {name: json.dumps(str(sets / name)) for name in ("cats", "others")}
    (home / "draft.toml").write_text(DRAFT.format(**texts), encoding="utf-8")
    running = App(home)
    running.start()
    yield running
    running.close()


@pytest.fixture
def folder(sets: Path, request: pytest.FixtureRequest) -> Path:
    """Return a folder below the data set Cats: six pictures of 600 x 400, sky above grass, with captions."""
    folder = sets / "cats" / request.node.name.partition("[")[0][-40:]
    folder.mkdir(exist_ok=True)
    for number in range(6):
        image = Image.new("RGB", (600, 400), SKY)
        draw = ImageDraw.Draw(image)
        draw.rectangle((0, 300, 600, 400), fill=GRASS)
        draw.ellipse((250, 150, 350, 250), fill=(220, 120, 40 + number * 30))
        image.save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"cat, number {number}", encoding="utf-8")
    return folder


@pytest.fixture
def page(app: App, open_page: OpenPage, folder: Path) -> Page:
    return opened(open_page(f"{app.url}/en/#captions"), folder)


def opened(page: Page, folder: Path) -> Page:
    page.fill("#captions-folder", str(folder))
    page.press("#captions-folder", "Enter")
    expect(tile(page, "0.png").locator(".tile-name")).to_be_visible()
    return page


def tile(page: Page, name: str) -> Locator:
    return page.locator(".caption-tile", has_text=name)


def shown(page: Page, name: str) -> None:
    expect(page.locator(".caption-head strong")).to_have_text(name)


def edit_of(picture: Path) -> dict[str, object]:
    place = picture.with_name(f"{picture.name}.athanor.json")
    return json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}


def mask_of(picture: Path) -> Image.Image:
    with Image.open(picture.with_name(f"{picture.stem}-masklabel.png")) as mask:
        mask.load()
    assert mask.mode == "L"
    return mask


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=4)
    page.mouse.move(*end, steps=4)
    page.mouse.up()


def middle(locator: Locator) -> tuple[float, float]:
    box = locator.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def open_crop(page: Page) -> None:
    page.keyboard.press("c")
    expect(page.locator("#captions-crop-box")).to_be_focused()


def open_mask(page: Page) -> None:
    page.keyboard.press("m")
    expect(page.locator("#captions-mask-canvas")).to_be_focused()


def closed(page: Page) -> None:
    expect(page.locator("dialog.tool-dialog")).to_have_count(0)


def test_a_picture_is_cut_by_mouse_shown_so_and_whole_again_after_undo(page: Page, folder: Path) -> None:
    original = (folder / "0.png").read_bytes()
    open_crop(page)
    expect(page.locator(".crop-size")).to_contain_text("The whole picture: 600 × 400 px")
    page.locator('[data-shape="1:1"]').click()
    expect(page.locator(".crop-size")).to_contain_text("400 × 400 px")
    corner, left = middle(page.locator(".at-nw")), middle(page.locator(".at-w"))
    expect(page.locator(".crop-fate")).to_contain_text("Trained at 512 × 512: it is smaller")
    scale = 400 / (page.locator(".crop-view").bounding_box() or {})["height"]
    drag(page, corner, (corner[0] + 100 / scale, corner[1] + 100 / scale))
    drag(page, middle(page.locator("#captions-crop-box")), (left[0], corner[1] - 500))
    page.locator("#captions-crop-apply").click()
    closed(page)
    expect(tile(page, "0.png").locator(".mark-crop")).to_be_visible()
    edit = edit_of(folder / "0.png")
    assert edit["size"] == [600, 400]
    across, top, width, height = edit["crop"]
    assert top == 0 and abs(width - 300) < 4 and width == height and 0 <= across < 60
    expect(page.locator(".caption-head small")).to_have_text(f"{width} × {height}")
    page.wait_for_function("document.querySelector('.caption-picture img').naturalWidth < 310")
    assert (folder / "0.png").read_bytes() == original
    page.keyboard.press("Control+z")
    expect(page.locator(".caption-head small")).to_have_text("600 × 400")
    expect(tile(page, "0.png").locator(".mark-crop")).to_have_count(0)
    assert edit_of(folder / "0.png") == {}


def test_a_picture_is_cut_and_turned_with_the_keyboard_only(page: Page, folder: Path) -> None:
    open_crop(page)
    page.keyboard.press("]")
    expect(page.locator(".crop-size")).to_contain_text("400 × 600 px · rotated by 90°")
    page.keyboard.press("b")
    expect(page.locator("#captions-crop-nearest")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#captions-crop-nearest")).to_have_text("Nearest: 384 × 640")
    page.keyboard.press("Control+Enter")
    shown(page, "1.png")
    expect(page.locator("#captions-crop-box")).to_be_focused()
    assert edit_of(folder / "0.png") == {"version": 1, "rotate": 90, "crop": [20, 0, 360, 600], "size": [400, 600]}
    for _ in range(10):
        page.keyboard.press("Shift+ArrowLeft")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Control+ArrowRight")
    page.keyboard.press("Shift+Control+ArrowUp")
    page.keyboard.press("Enter")
    closed(page)
    expect(tile(page, "1.png").locator(".mark-crop")).to_be_visible()
    assert edit_of(folder / "1.png")["crop"] == [13, 0, 560, 399]
    open_crop(page)
    page.keyboard.press("a")
    page.keyboard.press("Escape")
    closed(page)
    assert edit_of(folder / "1.png")["crop"] == [13, 0, 560, 399], "left, not applied"
    expect(page.locator("#captions-grid")).to_be_focused()


def test_shapes_are_typed_kept_while_dragging_and_swapped(page: Page) -> None:
    open_crop(page)
    page.locator("#captions-crop-own").fill("2:1")
    page.locator("#captions-crop-own").press("Enter")
    expect(page.locator(".crop-size")).to_have_text("600 × 300 px")
    corner = middle(page.locator(".at-se"))
    drag(page, corner, (corner[0] - 90, corner[1] - 10))
    page.get_by_text("In numbers").click()
    width = int(page.locator("#captions-crop-width").input_value())
    assert 300 < width < 600 and abs(width / int(page.locator("#captions-crop-height").input_value()) - 2) < 0.02
    page.locator("#captions-crop-width").fill("300")
    page.locator("#captions-crop-width").press("Enter")
    expect(page.locator(".crop-size")).to_have_text("300 × 150 px")
    page.locator("[data-tool=swap]").click()
    expect(page.locator(".crop-size")).to_have_text("200 × 400 px")
    page.locator("#captions-crop-own").fill("nonsense")
    page.locator("#captions-crop-own").press("Enter")
    expect(page.locator("#captions-crop-own")).to_have_attribute("aria-invalid", "true")
    page.locator("#captions-crop-bucket").select_option("640x384")
    expect(page.locator(".crop-size")).to_have_text("600 × 360 px")


def test_a_cut_can_be_written_as_a_copy(page: Page, folder: Path) -> None:
    open_crop(page)
    page.locator('[data-shape="1:1"]').click()
    page.locator("#captions-crop-copy").click()
    expect(page.locator(".captions-note")).to_contain_text("0-edited.png")
    expect(tile(page, "0-edited.png")).to_be_visible()
    shown(page, "0.png")
    with Image.open(folder / "0-edited.png") as copy:
        assert copy.size == (400, 400)
    assert (folder / "0-edited.txt").read_text(encoding="utf-8") == "cat, number 0"
    assert edit_of(folder / "0.png") == {} and edit_of(folder / "0-edited.png") == {}
    page.locator("[data-tool=undo-done]").click()
    expect(tile(page, "0-edited.png")).to_have_count(0)
    assert not (folder / "0-edited.png").exists() and (folder / "0.png").exists()


def test_many_are_turned_rated_reset_sorted_and_filtered(page: Page, folder: Path) -> None:
    page.keyboard.press("4")
    expect(tile(page, "0.png").locator(".mark-stars")).to_have_text("4★")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("5")
    expect(tile(page, "3.png").locator(".mark-stars")).to_have_text("5★")
    page.keyboard.press("]")
    expect(tile(page, "2.png").locator(".mark-right")).to_be_visible()
    assert edit_of(folder / "2.png") == edit_of(folder / "3.png") == {"version": 1, "rotate": 90, "rating": 5}
    page.locator("#captions-sort").select_option("rating")
    order = """() => [...document.querySelectorAll(".caption-tile")]
        .sort((a, b) => a.offsetTop - b.offsetTop || a.offsetLeft - b.offsetLeft)
        .map((tile) => tile.querySelector(".tile-name").textContent[0]).join("")"""
    page.wait_for_function(f"({order})() === '230145'")
    expect(page.locator('[data-part="counts"]')).to_contain_text("2 selected")
    page.locator("[data-tool=more]").click()
    page.locator("[data-tool=reset]").click()
    expect(page.locator(".captions-note")).to_contain_text("2 pictures are as their files again")
    assert edit_of(folder / "3.png") == {"version": 1, "rating": 5}
    page.locator("[data-tool=star-5]").click()
    expect(tile(page, "3.png").locator(".mark-stars")).to_have_count(0)
    assert edit_of(folder / "3.png") == {}
    page.locator("#captions-filter").fill("rating: >= 4")
    expect(page.locator('[data-part="counts"]')).to_contain_text("1 of 6 pictures")
    page.locator("#captions-filter").press("0")
    expect(page.locator("#captions-filter")).to_have_value("rating: >= 40")
    assert edit_of(folder / "0.png") == {"version": 1, "rating": 4}, "who types rates nothing"


def cropped_by(page: Page) -> None:
    """Crop with the dialog for many that is open, once it has told what it would do."""
    expect(page.locator("#captions-many-apply")).to_be_enabled()
    page.locator("#captions-many-apply").click()
    closed(page)


def test_the_selected_pictures_are_cropped_to_a_shape_seen_before_and_undone_at_once(page: Page, folder: Path) -> None:
    open_crop(page)
    page.locator('[data-shape="16:9"]').click()
    page.keyboard.press("Enter")
    closed(page)
    first = edit_of(folder / "0.png")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("c")
    lines = page.locator("[data-part=many-lines]").first
    page.locator('.many-dialog [data-shape="1:1"]').click()
    expect(lines).to_contain_text("3 of 4 pictures are cropped.")
    expect(lines).to_contain_text("1 is cropped already and keeps its crop.")
    expect(page.locator(".many-dialog .tool-missing")).to_contain_text("3 are smaller than the training size")
    expect(page.locator(".crop-cut")).to_have_count(3)
    page.wait_for_function(
        "[...document.querySelectorAll('.crop-cut img')].every((image) => image.naturalWidth === 192)"
    )
    page.locator('[data-anchor="5"]').click()
    expect(page.locator(".crop-cut").first).to_have_attribute("title", re.compile("600 × 400 → 400 × 400"))
    expect(page.locator("#captions-many-apply")).to_have_text("Crop 3 pictures")
    cropped_by(page)
    expect(page.locator(".captions-note")).to_contain_text("3 pictures are cropped.")
    expect(tile(page, "3.png").locator(".mark-crop")).to_be_visible()
    crops = [edit_of(folder / f"{number}.png").get("crop") for number in range(5)]
    assert crops == [first["crop"], *[[200, 0, 400, 400]] * 3, None]
    page.locator("[data-tool=undo-done]").click()
    expect(tile(page, "3.png").locator(".mark-crop")).to_have_count(0)
    assert edit_of(folder / "0.png") == first and not edit_of(folder / "1.png")


def test_pictures_of_the_filter_are_cropped_to_buckets_with_the_keyboard_only(page: Page, folder: Path) -> None:
    page.locator("#captions-filter").fill("name:1.png or name:2.png")
    expect(page.locator('[data-part="counts"]')).to_contain_text("2 of 6 pictures")
    page.locator("[data-tool=more]").focus()
    page.keyboard.press("Enter")
    page.locator("[data-tool=crops]").focus()
    page.keyboard.press("Enter")
    expect(page.locator('.many-dialog [data-shape="bucket"]')).to_be_focused()
    expect(page.locator("#captions-many-apply")).to_have_text("Crop 2 pictures")
    page.locator("#captions-many-apply").focus()
    page.keyboard.press("Enter")
    closed(page)
    expect(tile(page, "2.png").locator(".mark-crop")).to_be_visible()
    assert edit_of(folder / "1.png")["crop"] == [0, 20, 600, 360], "the shape of 640 x 384"
    assert [path.name for path in sorted(folder.glob("*.athanor.json"))] == ["1.png.athanor.json", "2.png.athanor.json"]


def test_masks_of_another_program_are_imported_by_their_names_and_removed(
    page: Page, folder: Path, tmp_path: Path
) -> None:
    for name, size in {"0_mask.png": (300, 200), "1.png": (600, 400), "2.mask.png": (400, 400)}.items():
        Image.new("L", size, 90).save(tmp_path / name)
    page.keyboard.press("Control+a")
    page.locator("[data-tool=more]").click()
    page.locator("[data-tool=masks-import]").click()
    page.locator("#captions-masks-from").fill(str(tmp_path))
    expect(page.locator(".many-dialog .many-lines").first).to_contain_text("3 of 6 pictures have a mask there.")
    expect(page.locator(".many-dialog .tool-missing")).to_contain_text("1 mask has another shape")
    expect(page.locator(".many-dialog .tool-missing")).to_contain_text("2.mask.png")
    expect(page.locator(".many-strip")).to_contain_text("0.png ← 0_mask.png")
    page.locator("#captions-many-apply").click()
    closed(page)
    expect(page.locator(".captions-note")).to_contain_text("2 pictures have the imported mask.")
    expect(tile(page, "1.png").locator(".mark-mask")).to_be_visible()
    assert mask_of(folder / "0.png").size == (600, 400) and mask_of(folder / "0.png").getpixel((0, 0)) == 90
    page.locator("[data-tool=more]").click()
    page.locator("[data-tool=mask-remove]").click()
    expect(page.locator(".captions-note")).to_contain_text("2 pictures have no masks any more")
    assert not list(folder.glob("*-masklabel.png"))
    page.keyboard.press("Control+z")
    expect(tile(page, "1.png").locator(".mark-mask")).to_be_visible()


def at(page: Page, x: float, y: float) -> tuple[float, float]:
    """Return where a point of a picture of 600 x 400 is on the mask editor's canvas, as it is fitted."""
    box = page.locator("#captions-mask-canvas").bounding_box()
    assert box
    scale = min((box["width"] - 20) / 600, (box["height"] - 20) / 400)
    return box["x"] + box["width"] / 2 + (x - 300) * scale, box["y"] + box["height"] / 2 + (y - 200) * scale


def test_a_mask_is_painted_by_mouse_with_every_tool_and_undone_step_by_step(page: Page, folder: Path) -> None:
    open_mask(page)
    share = page.locator('[data-part="mask-share"]')
    expect(share).to_have_text("All of the picture counts")
    expect(page.locator("#captions-mask-save")).to_be_disabled()
    page.locator('[data-mask-tool="fill"]').click()
    page.mouse.click(*at(page, 50, 350))
    expect(share).to_have_text("75 % of the picture counts")
    page.locator('[data-mask-tool="rectangle"]').click()
    drag(page, at(page, 0, 0), at(page, 100, 100))
    expect(share).not_to_have_text("75 % of the picture counts")
    page.locator('[data-mask-tool="brush"]').click()
    drag(page, at(page, 200, 60), at(page, 400, 60))
    page.locator('[data-mask-tool="eraser"]').click()
    drag(page, at(page, 280, 60), at(page, 320, 60))
    page.locator("#captions-mask-hex").fill("#3c78e6")
    page.keyboard.press("x")
    expect(page.locator("#captions-mask-hex")).to_have_value("#3c78e6x"[:7])
    for _ in range(2):
        page.locator("[data-tool=mask-undo]").click()
    page.locator("[data-tool=mask-redo]").click()
    page.locator("#captions-mask-save").click()
    closed(page)
    expect(page.locator(".caption-picture .mask-over")).to_be_visible()
    expect(tile(page, "0.png").locator(".mark-mask")).to_be_visible()
    mask = mask_of(folder / "0.png")
    assert mask.size == (600, 400)
    places = {(50, 350): 0, (50, 50): 0, (220, 60): 0, (300, 60): 0, (300, 200): 255, (500, 200): 255}
    assert {place: mask.getpixel(place) for place in places} == places
    page.keyboard.press("o")
    expect(page.locator(".caption-picture .mask-over")).to_have_count(0)
    page.keyboard.press("o")
    open_mask(page)
    page.locator("[data-tool=by-colour]").click()
    page.locator("#captions-mask-hex").fill("#3c78e6")
    page.locator("[data-tool=by-colour]").click()
    page.keyboard.press("i")
    page.locator("#captions-mask-save").click()
    closed(page)
    mask = mask_of(folder / "0.png")
    places = {(50, 350): 255, (500, 200): 255, (300, 200): 0}
    assert {place: mask.getpixel(place) for place in places} == places
    page.locator("[data-tool=more]").click()
    page.locator("[data-tool=mask-remove]").click()
    expect(page.locator(".caption-picture .mask-over")).to_have_count(0)
    assert not (folder / "0-masklabel.png").exists()
    page.locator("[data-tool=undo-done]").click()
    expect(page.locator(".caption-picture .mask-over")).to_be_visible()
    assert mask_of(folder / "0.png").getpixel((300, 200)) == 0


def import_mask(page: Page, file: Path) -> None:
    open_mask(page)
    page.set_input_files("#captions-mask-file", file)
    expect(page.locator("#captions-mask-save")).to_be_enabled()


def store_mask(page: Page) -> None:
    page.locator("#captions-mask-save").click()
    closed(page)
    expect(tile(page, "0.png").locator(".mark-mask")).to_be_visible()


def test_the_edge_of_a_mask_is_moved_and_softened_by_pixels_of_the_picture(
    page: Page, folder: Path, tmp_path: Path
) -> None:
    half = Image.new("L", (600, 400), 255)
    half.paste(0, (0, 0, 300, 400))
    half.save(tmp_path / "half.png")
    import_mask(page, tmp_path / "half.png")
    share = page.locator('[data-part="mask-share"]')
    page.locator("#captions-mask-edge").fill("30")
    page.locator("[data-tool=grow]").click()
    expect(share).to_have_text("55 % of the picture counts")
    page.locator("[data-tool=shrink]").click()
    expect(share).to_have_text("50 % of the picture counts")
    page.locator("[data-tool=shrink]").click()
    expect(share).to_have_text("45 % of the picture counts")
    page.locator("[data-tool=mask-undo]").click()
    expect(share).to_have_text("50 % of the picture counts")
    page.locator("#captions-mask-edge").fill("0")
    page.locator("[data-tool=grow]").click()
    expect(page.locator("#captions-mask-edge")).to_have_attribute("aria-invalid", "true")
    expect(share).to_have_text("50 % of the picture counts")
    page.locator("#captions-mask-edge").fill("12")
    page.locator("[data-tool=soften]").click()
    store_mask(page)
    mask = mask_of(folder / "0.png")
    values = [mask.getpixel((x, 200)) for x in (286, 295, 299, 304, 313)]
    assert values == sorted(values) and values[0] == 0 and values[-1] == 255 and 100 < values[2] < 155


def test_a_mask_of_a_large_picture_is_painted_in_its_own_pixels(page: Page, folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (3000, 2000), SKY).save(folder / "0.png")
    expect(page.locator(".caption-head small")).to_have_text("3000 × 2000")
    line = Image.new("L", (3000, 2000))
    line.paste(255, (1501, 0, 1502, 2000))
    line.save(tmp_path / "line.png")
    import_mask(page, tmp_path / "line.png")
    store_mask(page)
    assert mask_of(folder / "0.png").tobytes() == line.tobytes()


def test_a_mask_is_painted_with_the_keyboard_only(page: Page, folder: Path) -> None:
    open_mask(page)
    page.keyboard.press("r")
    page.keyboard.press("Space")
    for key in ("ArrowRight", "ArrowDown"):
        for _ in range(20):
            page.keyboard.press(f"Shift+{key}")
    page.keyboard.press("Space")
    page.keyboard.press("b")
    for _ in range(40):
        page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("Shift+ArrowUp")
    page.keyboard.down("Space")
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    page.keyboard.up("Space")
    page.keyboard.press("Enter")
    closed(page)
    expect(tile(page, "0.png").locator(".mark-mask")).to_be_visible()
    mask = mask_of(folder / "0.png")
    places = {(310, 210): 0, (590, 390): 0, (2, 2): 0, (80, 4): 0, (300, 100): 255, (100, 300): 255}
    assert {place: mask.getpixel(place) for place in places} == places
    page.keyboard.press("Control+z")
    expect(tile(page, "0.png").locator(".mark-mask")).to_have_count(0)
    assert not (folder / "0-masklabel.png").exists()


def test_a_mask_of_a_turned_and_cut_picture_stays_in_the_files_own_coordinates(page: Page, folder: Path) -> None:
    page.keyboard.press("]")
    expect(tile(page, "0.png").locator(".mark-right")).to_be_visible()
    open_crop(page)
    page.locator('[data-shape="1:1"]').click()
    page.keyboard.press("Enter")
    closed(page)
    open_mask(page)
    page.keyboard.press("f")
    box = page.locator("#captions-mask-canvas").bounding_box() or {}
    scale = (box["height"] - 20) / 600
    # Turned clockwise, the grass at the foot of the file's picture is at the left.
    page.mouse.click(box["x"] + box["width"] / 2 - 150 * scale, box["y"] + box["height"] / 2)
    page.keyboard.press("Control+s")
    closed(page)
    mask = mask_of(folder / "0.png")
    assert mask.size == (600, 400) and mask.getpixel((10, 390)) == 0 and mask.getpixel((10, 10)) == 255
    expect(page.locator(".caption-picture .mask-over")).to_be_visible()
    sizes = page.evaluate("[...document.querySelectorAll('.caption-picture img')].map((i) => [i.width, i.height])")
    assert sizes[0] == sizes[1], "the tint lies on the cut"


def test_a_mask_is_imported_only_where_its_shape_fits_and_not_lost_by_a_slip(
    page: Page, folder: Path, tmp_path: Path
) -> None:
    half = Image.new("L", (300, 200), 255)
    half.paste(0, (0, 0, 150, 200))
    half.save(tmp_path / "half.png")
    Image.new("L", (50, 50)).save(tmp_path / "square.png")
    (tmp_path / "none.png").write_bytes(b"no picture")
    open_mask(page)
    page.set_input_files("#captions-mask-file", tmp_path / "square.png")
    expect(page.locator(".mask-dialog .field-error")).to_contain_text("50 × 50 px, the picture 600 × 400 px")
    page.set_input_files("#captions-mask-file", tmp_path / "none.png")
    expect(page.locator(".mask-dialog .field-error")).to_contain_text("no picture that the browser can read")
    page.set_input_files("#captions-mask-file", tmp_path / "half.png")
    expect(page.locator('[data-part="mask-share"]')).to_have_text("50 % of the picture counts")
    expect(page.locator(".mask-dialog .field-error")).to_be_hidden()
    page.locator("#captions-mask-canvas").focus()
    page.keyboard.press("Escape")
    expect(page.locator(".tool-asking")).to_contain_text("The mask is not saved")
    page.locator("[data-tool=asked-stay]").click()
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    closed(page)
    expect(tile(page, "0.png").locator(".mark-mask")).to_be_visible()
    mask = mask_of(folder / "0.png")
    assert mask.size == (600, 400) and mask.getpixel((50, 50)) == 0 and mask.getpixel((500, 50)) == 255
    open_mask(page)
    page.keyboard.press("i")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    closed(page)
    assert mask_of(folder / "0.png").getpixel((50, 50)) == 0, "given up"


def test_the_data_set_is_told_to_use_its_masks(page: Page, app: App) -> None:
    open_mask(page)
    use = page.locator(".mask-use")
    expect(use).to_contain_text("“Cats” does not use its masks yet")
    use.get_by_role("button").click()
    expect(use).to_have_text(re.compile("“Cats” uses its masks"))
    assert 'mask = "file"' in (app.home / "draft.toml").read_text(encoding="utf-8")


def test_what_is_thrown_away_goes_to_the_trash_the_grid_goes_on_and_undo_brings_it_back(
    page: Page, folder: Path
) -> None:
    tile(page, "2.png").click()
    page.keyboard.press("3")
    expect(tile(page, "2.png").locator(".mark-stars")).to_have_text("3★")
    page.keyboard.press("Delete")
    expect(page.locator(".captions-note")).to_contain_text("2.png")
    shown(page, "3.png")
    expect(tile(page, "2.png")).to_have_count(0)
    assert {path.name for path in (folder / ".trash").iterdir()} == {"2.png", "2.txt", "2.png.athanor.json"}
    page.keyboard.press("Delete")
    shown(page, "4.png")
    page.keyboard.press("End")
    page.keyboard.press("Delete")
    shown(page, "4.png")
    expect(page.locator('[data-part="counts"]')).to_contain_text("3 pictures")
    page.keyboard.press("Control+z")
    shown(page, "5.png")
    for name in ("3.png", "2.png"):
        page.keyboard.press("Control+z")
        shown(page, name)
    expect(tile(page, "2.png").locator(".mark-stars")).to_have_text("3★")
    assert sorted(path.name for path in folder.glob("*.png")) == [f"{number}.png" for number in range(6)]
    assert (folder / "2.txt").read_text(encoding="utf-8") == "cat, number 2"


def test_keys_that_follow_fast_act_on_one_picture_after_the_other(page: Page, folder: Path) -> None:
    for key in ("Delete", "2", "Delete", "Delete", "5", "c", "c"):
        page.keyboard.press(key)
    expect(page.locator("dialog.tool-dialog")).to_have_count(1)
    expect(page.locator("#captions-crop-box")).to_be_focused()
    page.keyboard.press("Escape")
    shown(page, "3.png")
    expect(tile(page, "3.png").locator(".mark-stars")).to_have_text("5★")
    assert {path.name for path in (folder / ".trash").glob("*.png")} == {"0.png", "1.png", "2.png"}
    assert edit_of(folder / ".trash" / "1.png") == {"version": 1, "rating": 2}
    assert not list(folder.glob("4.png.*"))


def test_an_open_editor_keeps_to_its_picture_when_others_come_and_go(page: Page, folder: Path) -> None:
    tile(page, "3.png").click()
    open_crop(page)
    Image.new("RGB", (20, 20)).save(folder / "0a.png")
    expect(tile(page, "0a.png")).to_have_count(1)
    page.keyboard.press("]")
    page.keyboard.press("Enter")
    closed(page)
    expect(tile(page, "3.png").locator(".mark-right")).to_be_visible()
    assert [path.name for path in folder.glob("*.athanor.json")] == ["3.png.athanor.json"]
    open_mask(page)
    page.keyboard.press("i")
    (folder / "3.png").rename(folder / "3.away")
    expect(tile(page, "3.png")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.locator(".mask-dialog .field-error")).to_have_text("“3.png” is no longer in this folder.")
    assert not list(folder.glob("*-masklabel.png"))


def test_masks_and_stars_of_others_appear_by_themselves(page: Page, folder: Path) -> None:
    Image.new("L", (600, 400)).save(folder / "1-masklabel.png")
    (folder / "2.png.athanor.json").write_text('{"version": 1, "rating": 3}', encoding="utf-8")
    expect(tile(page, "1.png").locator(".mark-mask")).to_be_visible()
    expect(tile(page, "2.png").locator(".mark-stars")).to_have_text("3★")
    expect(page.locator(".caption-tile")).to_have_count(6)


def test_selection_and_place_are_kept_by_name_when_pictures_come_and_go(page: Page, folder: Path) -> None:
    tile(page, "3.png").click()
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator('[data-part="counts"]')).to_contain_text("2 selected")
    Image.new("RGB", (20, 20)).save(folder / "0a.png")
    expect(tile(page, "0a.png")).to_be_visible()
    expect(page.locator('[data-part="counts"]')).to_contain_text("2 selected · no. 6")
    page.keyboard.press("Delete")
    expect(tile(page, "3.png")).to_have_count(0)
    assert {path.name for path in (folder / ".trash").glob("*.png")} == {"3.png", "4.png"}
    shown(page, "5.png")


def test_a_menu_stays_open_when_what_it_belongs_to_is_drawn_anew(page: Page, folder: Path) -> None:
    shown(page, "0.png")
    page.locator("[data-tool=more]").click()
    (folder / "0.txt").write_text("theirs", encoding="utf-8")
    expect(page.locator('.chip[data-tag="theirs"]')).to_be_visible()
    expect(page.locator("[data-tool=move]")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("[data-tool=move]")).to_be_hidden()


def test_pictures_move_to_another_data_set_with_all_that_is_theirs(page: Page, folder: Path, sets: Path) -> None:
    tile(page, "1.png").click()
    page.keyboard.press("Shift+ArrowRight")
    page.locator("[data-tool=more]").click()
    page.locator("[data-tool=move]").click()
    expect(page.locator(".small-dialog header")).to_have_text("Move 2 pictures")
    page.locator("#captions-move-to").fill(str(folder / "0.png"))
    page.locator("#captions-move-apply").click()
    expect(page.locator(".small-dialog .field-error")).to_contain_text("0.png")
    page.locator(".small-dialog .folder-card", has_text="Others").click()
    closed(page)
    expect(tile(page, "1.png")).to_have_count(0)
    shown(page, "3.png")
    assert {path.name for path in (sets / "others").iterdir()} == {"1.png", "1.txt", "2.png", "2.txt"}
    page.locator("[data-tool=undo-done]").click()
    expect(tile(page, "1.png")).to_be_visible()
    assert not list((sets / "others").iterdir()) and (folder / "2.txt").is_file()


def test_the_keys_are_listed_and_work_with_one_picture_large(page: Page, folder: Path) -> None:
    page.keyboard.press("?")
    dialog = page.locator("#keys-dialog")
    for text in ("Stars; 0 takes them away", "Crop and rotate, mask", "Rotate left", "Move to the trash"):
        expect(dialog).to_contain_text(text)
    page.keyboard.press("Escape")
    page.keyboard.press("v")
    page.keyboard.press("ArrowRight")
    shown(page, "1.png")
    page.keyboard.press("5")
    expect(page.locator(".star.is-on")).to_have_count(5)
    page.keyboard.press("]")
    expect(page.locator(".caption-head small")).to_have_text("400 × 600")
    page.keyboard.press("Delete")
    shown(page, "2.png")
    page.keyboard.press("Escape")
    assert {path.name for path in (folder / ".trash").glob("*.png")} == {"1.png"}


def remover(path: Path) -> Path:
    """Make a model of U2-Net's interface that sees the subject where a picture is red."""
    from onnx import TensorProto, helper, numpy_helper, save

    numbers = (("starts", 0), ("ends", 1), ("axes", 1))
    graph = helper.make_graph(
        [helper.make_node("Slice", ["input", *(name for name, _ in numbers)], ["output"])],
        "remover",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 320, 320])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, 320, 320])],
        [numpy_helper.from_array(np.array([value], np.int64), name) for name, value in numbers],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    save(model, path)
    return path


def test_backgrounds_of_the_selected_pictures_are_taken_away_by_a_run(page: Page, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("rembg", reason="rembg is not installed")
    model = remover(tmp_path / "mine.onnx")
    page.keyboard.press("Shift+ArrowRight")
    page.locator("[data-tool=more]").click()
    page.locator("[data-tool=background]").click()
    expect(page.locator(".small-dialog header")).to_have_text("Remove the background of 2 pictures")
    page.locator("#captions-background-model").fill(str(model))
    page.locator("#captions-background-start").click()
    closed(page)
    expect(tile(page, "1.png").locator(".mark-mask")).to_be_visible()
    mask = mask_of(folder / "0.png")
    assert mask.size == (600, 400) and mask.getpixel((300, 200)) > 200 and mask.getpixel((20, 20)) < 50
    assert {path.name for path in folder.glob("*-masklabel.png")} == {"0-masklabel.png", "1-masklabel.png"}


@pytest.mark.parametrize(("width", "language"), [(390, "en"), (390, "zh-CN"), (1024, "en"), (1280, "zh-CN")])
def test_the_editors_fit_the_window(
    app: App, open_page: OpenPage, folder: Path, keep_picture: KeepPicture, width: int, language: str
) -> None:
    dark = (width, language) in ((390, "zh-CN"), (1024, "en"))
    page = opened(open_page(f"{app.url}/{language}/#captions", width=width, height=860, dark=dark), folder)
    tile(page, "1.png").click()
    for tool, editor in (("crop", ".crop-dialog"), ("mask", ".mask-dialog")):
        page.locator(f"[data-tool={tool}]").click()
        box = page.locator(editor).bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= width
        for button in page.locator(f"{editor} button:visible").all():
            edge = button.bounding_box()
            assert edge and edge["x"] >= 0 and edge["x"] + edge["width"] <= width
        stage = page.locator(f"{editor} .tool-stage").bounding_box()
        assert stage and stage["width"] > 0.6 * width and stage["height"] > 200
        keep_picture(page, f"captions-{tool}-{language}-{width}")
        page.keyboard.press("Escape")
        closed(page)
    assert not page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def test_the_editors_stand_in_the_middle_of_a_tall_window(app: App, open_page: OpenPage, folder: Path) -> None:
    page = opened(open_page(f"{app.url}/en/#captions", width=1400, height=1300), folder)
    for tool, editor in (("crop", ".crop-dialog"), ("mask", ".mask-dialog")):
        page.locator(f"[data-tool={tool}]").click()
        box = page.locator(editor).bounding_box()
        assert box and abs(2 * box["y"] + box["height"] - 1300) < 4
        page.keyboard.press("Escape")
        closed(page)
