"""What the caption page does to pictures: cutting, turning, stars, masks, copies, the trash, other folders."""

from __future__ import annotations

import base64
import binascii
import io
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import ValidationError

from backend.config import paths
from backend.config.data import DataSection
from backend.config.datasets import DatasetConfig, PictureRules
from backend.config.problems import UserError
from backend.config.reference import choice_label, label
from backend.config.root import item_parameters
from backend.data.buckets import Size, buckets_of, choose, resolutions_of, target_size
from backend.data.picture_edits import MAXIMUM_RATING, NO_EDIT, ROTATIONS, PictureEdit
from backend.editing.library import Applied
from ui import captions_background, captions_view, quick_plan
from ui.captions_desk import Desk, Desks
from ui.captions_requests import answered, at_desk
from ui.context import AppContext

Data = dict[str, Any]
NUM_TOLD = 2


def dataset_of(data: Mapping[str, Any], picture: Path) -> int | None:
    """Return which data set of a configuration a picture is in, by number: the one whose folder is nearest."""
    found: dict[int, int] = {}
    for index, row in enumerate(quick_plan.datasets(data)):
        path = str(row.get("path") or "").strip()
        if path and not paths.is_address(path):
            folder = paths.resolve(path).resolve()
            if picture.is_relative_to(folder):
                found[index] = len(folder.parts)
    return max(found, key=lambda index: found[index]) if found else None


def rules_of(data: Mapping[str, Any], picture: Path) -> PictureRules:
    """Return how a configuration scales a picture: the rules of its data set, the usual ones where it is not valid."""
    try:
        section = DataSection.model_validate(data.get("data", {}))
    except ValidationError:
        section = DataSection()
    index = dataset_of(data, picture)
    is_known = index is not None and index < len(section.datasets)
    return section.rules_of(section.datasets[index] if index is not None and is_known else DatasetConfig())


def largest(rules: PictureRules) -> int | None:
    """Return the largest of the resolutions that pictures are trained at; None is the width and height of the rules."""
    return max(resolutions_of(rules), key=lambda each: _area(target_size(rules, each)))


def _area(size: Size) -> int:
    return size[0] * size[1]


def grey_png(content: str, size: Size) -> bytes:
    """Return a mask that a page has painted, base64 of a PNG of any size, as grey PNG of a size (width, height).

    Raises:
        UserError: `mask_wrong`: it is no picture.
    """
    try:
        with Image.open(io.BytesIO(base64.b64decode(content, validate=True)), formats=("PNG",)) as image:
            grey = image.convert("L")
    except (OSError, SyntaxError, ValueError, binascii.Error) as error:
        raise UserError("mask_wrong", value=str(error), wanted=f"{size[0]} x {size[1]}, L") from error
    buffer = io.BytesIO()
    (grey if grey.size == size else grey.resize(size, Image.Resampling.BILINEAR)).save(buffer, "PNG")
    return buffer.getvalue()


class PictureTools(ABC):
    """The part of the caption page that changes pictures. Every change is an action that can be undone."""

    context: AppContext
    desks: Desks

    @at_desk
    def picture_facts(self, desk: Desk, request: Data) -> Data:
        """Return what the editors of cuts and masks need of one picture."""
        row, data = int(request["row"]), self.context.draft.data
        size = desk.library.full_size(row)
        if not all(size):
            raise UserError("image_corrupt", value=desk.library.names[row])
        edit, picture = desk.library.edit(row), desk.library.path(row)
        rules = rules_of(data, picture)
        resolution = largest(rules)
        return {
            "size": size,
            "rotate": edit.rotate,
            "crop": edit.crop,
            "stamp": desk.original_stamp(row),
            "mask": desk.library.masks.get(row, ""),
            "buckets": sorted(buckets_of(rules, resolution=resolution), key=lambda each: each[0] / each[1]),
            "nearest": choose(size, rules, resolution=resolution).bucket,
            "nearest_turned": choose((size[1], size[0]), rules, resolution=resolution).bucket,
            "masks": self._masks(picture),
        }

    @at_desk
    def crop_fate(self, desk: Desk, request: Data) -> Data:
        """Return at which size a cut would be trained, and whether it has to be enlarged for that."""
        rules = rules_of(self.context.draft.data, desk.library.root / str(request["name"]))
        size = (max(1, int(request["size"][0])), max(1, int(request["size"][1])))
        choice = choose(size, rules, resolution=largest(rules))
        times = choice.resized[0] / size[0]
        is_small = times > 1.01
        shown, t = f"{choice.bucket[0]} × {choice.bucket[1]}", self.context.t
        text = (
            t("captionpage.crop.fate.small", size=shown, times=f"{times:.2f}")
            if is_small
            else t("captionpage.crop.fate", size=shown)
        )
        return {"text": text, "is_small": is_small}

    @at_desk
    def edit_picture(self, desk: Desk, request: Data) -> Data:
        """Record how a picture is turned and cut, or write a copy that is."""
        row = int(request["row"])
        name, t = desk.library.names[row], self.context.t
        edit = replace(_edit(request, name), rating=desk.library.edit(row).rating)
        if request.get("copy"):
            return self._copied(desk, [row], {row: edit})
        applied = desk.library.edit_pictures(t("captionpage.action.crop", what=name), {row: edit})
        return self._became(desk, applied)

    @at_desk
    def rate_pictures(self, desk: Desk, request: Data) -> Data:
        """Give pictures stars; none takes them away."""
        rows, rating = self._asked(desk, request), min(max(int(request["rating"]), 0), MAXIMUM_RATING)
        t, what = self.context.t, self._what(desk, rows)
        name = (
            t("captionpage.action.rate", what=what, num=rating) if rating else t("captionpage.action.unrate", what=what)
        )
        return self._became(desk, desk.library.rate(name, rows, rating))

    @at_desk
    def turn_pictures(self, desk: Desk, request: Data) -> Data:
        """Turn pictures clockwise by quarters."""
        rows = self._asked(desk, request)
        name = self.context.t("captionpage.action.turn", what=self._what(desk, rows))
        return self._became(desk, desk.library.rotate(name, rows, int(request["degrees"])))

    @at_desk
    def copy_pictures(self, desk: Desk, request: Data) -> Data:
        """Write those of some pictures that are turned or cut into new files."""
        rows = [row for row in self._asked(desk, request) if desk.library.edit(row).changes_pixels]
        return self._copied(desk, rows, {})

    def _copied(self, desk: Desk, rows: Sequence[int], edits: Mapping[int, PictureEdit]) -> Data:
        t, library = self.context.t, desk.library
        name, at = t("captionpage.action.copy", what=self._what(desk, rows)), library.names[rows[0]] if rows else ""
        applied = library.save_copies(name, rows, edits)
        if applied.came:
            return self._became(desk, applied, t("captionpage.done.copy", names=listed(applied.came)), at)
        return self._became(desk, applied, t("captionpage.done.copy_none"), at)

    @at_desk
    def save_mask(self, desk: Desk, request: Data) -> Data:
        """Write the mask of a picture; without one, all of the picture counts."""
        row, t = int(request["row"]), self.context.t
        name, png = desk.library.names[row], request["png"]
        if png is None:
            applied = desk.library.set_mask(t("captionpage.action.mask_removed", what=name), row, None)
            return self._became(desk, applied, t("captionpage.done.mask_removed", what=name))
        content = grey_png(str(png), desk.library.full_size(row))
        return self._became(desk, desk.library.set_mask(t("captionpage.action.mask", what=name), row, content))

    @at_desk
    def use_masks(self, desk: Desk, request: Data) -> Data:
        """Let the data set of the draft that a picture is in use the masks beside its pictures."""
        picture, data = desk.library.path(int(request["row"])), self.context.draft.data
        index, rows = dataset_of(data, picture), quick_plan.datasets(data)
        if index is not None:
            rows[index]["mask"] = "file"
            self.context.draft.replace(quick_plan.with_values(data, {"data.datasets": rows}))
        return self._masks(picture)

    def _masks(self, picture: Path) -> Data:
        """Return whether training looks at the mask of a picture, in words, and whether that can be changed here."""
        data, t, language = self.context.draft.data, self.context.t, self.context.language
        index = dataset_of(data, picture)
        item = next(item for item in item_parameters("datasets") if item.name == "mask")
        setting = {
            "label": label(item, language, prefix="datasets."),
            "value": choice_label(item, "file", language, prefix="datasets."),
        }
        if index is None:
            return {"text": t("captionpage.masks.other", **setting), "can_use": False}
        row = quick_plan.datasets(data)[index]
        title = str(row.get("name") or Path(str(row.get("path"))).name)
        is_used = row.get("mask") == "file"
        used, unused = t("captionpage.masks.used", name=title), t("captionpage.masks.unused", name=title, **setting)
        return {"text": used if is_used else unused, "can_use": not is_used}

    @at_desk
    def trash_pictures(self, desk: Desk, request: Data) -> Data:
        """Move pictures, with what belongs to them, to the folder .trash."""
        rows, t = self._asked(desk, request), self.context.t
        what, at = self._what(desk, rows), self._next(desk, request)
        applied = desk.library.trash(t("captionpage.action.trash", what=what), rows)
        return self._became(desk, applied, t("captionpage.done.trash", what=what), at)

    @at_desk
    def move_pictures(self, desk: Desk, request: Data) -> Data:
        """Move pictures, with what belongs to them, to another folder."""
        rows, t = self._asked(desk, request), self.context.t
        what, at, target = self._what(desk, rows), self._next(desk, request), paths.resolve(str(request["target"]))
        applied = desk.library.move_to(t("captionpage.action.move", what=what, folder=target.name), rows, target)
        if applied.action is None and not applied.skipped:
            raise UserError("pictures_there_already", value=str(target))
        return self._became(desk, applied, t("captionpage.done.move", what=what, folder=str(target)), at)

    @answered
    def background_facts(self, _request: Data) -> Data:
        """Return what can take away backgrounds, and what is missing for it."""
        return captions_background.facts(self.context.language)

    @at_desk
    def remove_background(self, desk: Desk, request: Data) -> Data:
        """Start a run that makes masks for pictures."""
        names = [desk.library.names[row] for row in self._asked(desk, request)]
        run = captions_background.start(
            self.context.queue,
            desk.library.root,
            names,
            model=str(request["model"]),
            overwrite=bool(request.get("overwrite")),
        )
        self.context.watch.forget(run.id)
        return {"run": run.id}

    # What the other methods share.

    def _asked(self, desk: Desk, request: Data) -> list[int]:
        found: list[int] = captions_view.mask_of(str(request["ids"]), len(desk.library)).nonzero()[0].tolist()
        return found

    def _what(self, desk: Desk, rows: Sequence[int]) -> str:
        """Return pictures in words: the name of one, the number of many."""
        if len(rows) == 1:
            return desk.library.names[rows[0]]
        return self.context.t("captionpage.num", num=f"{len(rows):,}")

    def _next(self, desk: Desk, request: Data) -> str:
        """Return the name of the picture that the page goes on with."""
        row = request.get("next")
        return desk.library.names[int(row)] if row is not None and int(row) < len(desk.library) else ""

    def _became(self, desk: Desk, applied: Applied, done: str = "", at: str = "") -> Data:
        """Return what every change of pictures is answered with; `at`: the picture to go on with."""
        language = self.context.language
        skipped = [each.problem.text(language) for each in applied.skipped]
        told = skipped[:NUM_TOLD]
        if len(skipped) > NUM_TOLD:
            told.append(self.context.t("captionpage.failed.more", num=f"{len(skipped) - NUM_TOLD:,}"))
        return {
            "done": done if applied.action or not skipped else "",
            "problem": "\n".join(told),
            "can_undo": applied.action is not None,
            "at": at,
            **self._touched(applied.rows),
            **self._told(desk),
        }

    @abstractmethod
    def _touched(self, rows: Sequence[int]) -> Data:
        """Return which rows the page has to ask for again."""

    @abstractmethod
    def _told(self, desk: Desk) -> Data:
        """Return what every change is answered with."""


def _edit(request: Mapping[str, Any], name: str) -> PictureEdit:
    """Return the edit that a page asks for.

    Raises:
        UserError: `crop_misfit`: the cut leads out of the picture.
    """
    rotate = next((each for each in ROTATIONS if each == request["rotate"]), ROTATIONS[0])
    if request.get("crop") is None:
        return replace(NO_EDIT, rotate=rotate)
    left, top, width, height = (int(value) for value in request["crop"])
    across, down = (int(value) for value in request["size"])
    if not (0 <= left < left + width <= across and 0 <= top < top + height <= down):
        raise UserError("crop_misfit", value=name)
    return PictureEdit(rotate, (left, top, width, height), (across, down))


def listed(names: Sequence[str]) -> str:
    """Return the first of some names, in a line."""
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
