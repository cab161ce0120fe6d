"""What the caption page does to many pictures: cuts to a shape, masks of a folder; with progress, and an end."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.config import paths
from backend.data.buckets import BucketChoice, Chooser, Size, chooser
from backend.data.picture_edits import PictureEdit
from backend.editing.crops import Crops, crops_of
from backend.editing.library import Applied, Library
from backend.editing.mask_files import Matched, fits, matched
from backend.editing.picture_actions import GoOn
from backend.editing.tags import Mask
from ui import wording
from ui.background import Job, Progress, Slot
from ui.captions_desk import Desk
from ui.captions_requests import at_desk
from ui.captions_tools import PictureTools, largest, listed, rules_of

Data = dict[str, Any]
NUM_SHOWN = 10
# Of more masks than this it is told only when they are taken which do not fit their pictures.
NUM_MEASURED = 2000
# Scaling by less is not seen.
ENLARGED = 1.01
# Locale keys behind "captionpage.".
TEXTS = (
    "crops", "crops.title", "crops.scope", "crops.shape", "crops.bucket", "crops.anchor", "crops.existing",
    "crops.existing.keep", "crops.existing.replace", "crops.copies", "crops.strip", "crops.apply", "crops.help",
    "crops.shape.wrong", "masks.import", "masks.import.title", "masks.import.help", "masks.import.from",
    "masks.import.existing.keep", "masks.import.existing.replace", "masks.import.apply", "working.stop", "working",
    "masks.import.existing", "mask.edge", "mask.grow", "mask.shrink", "mask.soften",
    *(f"anchor.{place}" for place in range(9)),
)  # fmt: skip


class TrainedSizes:
    """At which size pictures of a folder are trained, by the rules of a configuration; each is found out once."""

    def __init__(self, data: Mapping[str, Any], root: Path) -> None:
        self._data = data
        self._root = root
        self._choosers: dict[str, Chooser] = {}
        self._choices: dict[tuple[str, Size], BucketChoice] = {}

    def choice(self, name: str, size: Size) -> BucketChoice:
        """Return the bucket of a picture of a size, by its path below the folder with /."""
        folder = name.rpartition("/")[0]
        if folder not in self._choosers:
            rules = rules_of(self._data, self._root / name)
            self._choosers[folder] = chooser(rules, resolution=largest(rules))
        key = (folder, size)
        if key not in self._choices:
            self._choices[key] = self._choosers[folder](size)
        return self._choices[key]

    def is_enlarged(self, name: str, size: Size) -> bool:
        """Tell whether a picture has to be enlarged for its bucket."""
        return self.choice(name, size).resized[0] / size[0] > ENLARGED


class ManyPictures(PictureTools):
    """The part of the caption page that changes many pictures; `many` does what the others have shown before."""

    def __init__(self) -> None:
        self._work: dict[str, Slot[Applied]] = {}

    @at_desk
    def crops_shown(self, desk: Desk, request: Data) -> Data:
        """Return what cutting pictures to a shape would do, in words and for some of them in boxes."""
        rows = self._meant(desk, request)
        sizes = self._sizes(desk)
        found = self._crops(desk, rows, request, sizes)
        library = desk.library
        small = [
            library.names[row]
            for row, edit in found.edits.items()
            if edit.crop and sizes.is_enlarged(library.names[row], (edit.crop[2], edit.crop[3]))
        ]
        lost = sorted(found.edits, key=lambda row: _share_left(found.edits[row]))
        return {
            "num": len(found.edits),
            "lines": self._crop_lines(found, len(rows)),
            "warning": self._names("captionpage.crops.small", small),
            "examples": [_example(desk, row, found.edits[row]) for row in lost[:NUM_SHOWN]],
        }

    def _crop_lines(self, found: Crops, num: int) -> list[str]:
        t = self.context.t
        counts = {"kept": found.num_kept, "fitting": found.num_fitting, "unreadable": found.num_unreadable}
        told = [t(f"captionpage.crops.{kind}", num=f"{count:,}") for kind, count in counts.items() if count]
        return [t("captionpage.crops.num", num=f"{len(found.edits):,}", total=f"{num:,}"), *told]

    def _crops(self, desk: Desk, rows: Sequence[int], request: Data, sizes: TrainedSizes) -> Crops:
        across, down = (min(max(float(each), 0.0), 1.0) for each in request["anchor"])
        wanted = request.get("shape")

        def shape(name: str, size: Size) -> Size:
            return sizes.choice(name, size).bucket if wanted is None else (int(wanted[0]), int(wanted[1]))

        return crops_of(desk.library, rows, shape, (across, down), replaces=_replaces(request))

    @at_desk
    def masks_shown(self, desk: Desk, request: Data) -> Data:
        """Return which masks of a folder are of which pictures, in words, and how many would be taken."""
        rows, library, t = self._meant(desk, request), desk.library, self.context.t
        found, files = self._masks_of(desk, rows, request)
        kept = len(found.masks) - len(files)
        measured = files if len(files) <= NUM_MEASURED else {}
        misfits = {row: path.name for row, path in measured.items() if not fits(path, library.full_size(row))}
        usable = [row for row in files if row not in misfits]
        lines = [t("captionpage.masks.import.num", num=f"{len(found.masks):,}", total=f"{len(rows):,}")]
        lines += [t("captionpage.masks.import.kept", num=f"{kept:,}")] if kept else []
        lines += [self._names("captionpage.masks.import.strays", found.strays)] if found.strays else []
        return {
            "num": len(usable),
            "lines": lines,
            "warning": self._names("captionpage.masks.import.misfits", list(misfits.values())),
            "examples": [f"{library.names[row]} ← {files[row].name}" for row in usable[:NUM_SHOWN]],
        }

    def _masks_of(self, desk: Desk, rows: Sequence[int], request: Data) -> tuple[Matched, dict[int, Path]]:
        """Return the masks of a folder, and by row those that are to be taken."""
        library = desk.library
        folder = paths.resolve(str(request["from"])).resolve()
        own = {str(library.root / name) for name in library.names} if _overlap(folder, library.root) else set()
        found = matched(folder, [library.names[row] for row in rows], lambda path: str(path) in own)
        by_row = {row: found.masks[library.names[row]] for row in rows if library.names[row] in found.masks}
        is_new = {row: path for row, path in by_row.items() if path != library.root / library.mask_name(row)}
        return found, {row: path for row, path in is_new.items() if row not in library.masks or _replaces(request)}

    @at_desk
    def many(self, desk: Desk, request: Data) -> Data:
        """Do something to many pictures: how far it is, or what became of it. `token` is another for every piece."""
        slot = self._work.setdefault(desk.key, Slot())
        if request.get("cancel"):
            slot.cancel()
        found = slot.get(str(request["token"]), self._begun(desk, request), wait=1.0)
        if isinstance(found, Progress):
            return {"waiting": self._waiting(found), "percent": wording.percent(found)}
        assert isinstance(found, Applied), "what is ended has done a part of it"
        kind = str(request["do"])
        names = listed(found.came) if found.came else ""
        key = kind if found.action else "nothing"
        done = self.context.t(f"captionpage.done.{key}", num=f"{len(found.rows):,}", names=names)
        return self._became(desk, found, done, str(request.get("at") or ""))

    def _begun(self, desk: Desk, request: Data) -> Callable[[Job], Applied]:
        kind = str(request["do"])
        works = {
            "crops": self._crop,
            "crop_copies": self._copy_cut,
            "reset": self._reset,
            "masks_removed": self._remove_masks,
            "masks_imported": self._import_masks,
        }
        generation = int(request.get("generation") or desk.generation) - desk.first_generation
        rows = self._meant(desk, request) if request.get("generation") else []
        name = self.context.t(f"captionpage.action.{kind}", what=self._what(desk, rows))

        def work(job: Job) -> Applied:
            def go_on(num_done: int, num_total: int) -> bool:
                job.tell(num_done, num_total)
                return not job.is_stopped

            with desk.library.at(generation):
                return works[kind](desk, name, rows, request, go_on)

        return work

    def _crop(self, desk: Desk, name: str, rows: Sequence[int], request: Data, go_on: GoOn) -> Applied:
        return desk.library.edit_pictures(name, self._crops(desk, rows, request, self._sizes(desk)).edits, go_on)

    def _copy_cut(self, desk: Desk, name: str, rows: Sequence[int], request: Data, go_on: GoOn) -> Applied:
        edits = self._crops(desk, rows, request, self._sizes(desk)).edits
        return desk.library.save_copies(name, list(edits), edits, go_on)

    def _reset(self, desk: Desk, name: str, rows: Sequence[int], _request: Data, go_on: GoOn) -> Applied:
        return desk.library.edit_pictures(name, reset_edits(desk.library, rows), go_on)

    def _remove_masks(self, desk: Desk, name: str, rows: Sequence[int], _request: Data, go_on: GoOn) -> Applied:
        return desk.library.remove_masks(name, rows, go_on)

    def _import_masks(self, desk: Desk, name: str, rows: Sequence[int], request: Data, go_on: GoOn) -> Applied:
        return desk.library.import_masks(name, self._masks_of(desk, rows, request)[1], go_on)

    def _sizes(self, desk: Desk) -> TrainedSizes:
        return TrainedSizes(self.context.draft.data, desk.library.root)

    def _meant(self, desk: Desk, request: Data) -> list[int]:
        mask = self._scope(desk, request)
        found: list[int] = list(range(len(desk.library))) if mask is None else mask.nonzero()[0].tolist()
        return found

    def _waiting(self, found: Progress) -> str:
        t = self.context.t
        if not found.num_total:
            return t("captionpage.working")
        text = t("captionpage.working.of", num=f"{found.num_done:,}", total=f"{found.num_total:,}")
        return wording.with_time_left(text, found, self.context.language)

    def _names(self, key: str, names: Sequence[str]) -> str:
        return self.context.t(key, num=f"{len(names):,}", names=listed(names)) if names else ""

    @abstractmethod
    def _scope(self, desk: Desk, request: Data) -> Mask | None:
        """Return the rows that are meant: bool (num_rows,); None for all."""


def reset_edits(library: Library, rows: Sequence[int]) -> dict[int, PictureEdit]:
    """Return the edits that show pictures as their files have them, with their stars; of those that need one."""
    problems = library.problems
    return {
        row: PictureEdit(rating=library.edit(row).rating)
        for row in rows
        if library.edit(row).changes_pixels or library.edit_name(row) in problems
    }


def _replaces(request: Data) -> bool:
    return request.get("existing") == "replace"


def _share_left(edit: PictureEdit) -> float:
    if edit.crop is None or edit.size is None:
        return 1.0
    return edit.crop[2] * edit.crop[3] / (edit.size[0] * edit.size[1])


def _example(desk: Desk, row: int, edit: PictureEdit) -> Data:
    """Return a picture, turned but whole, and the box that is left of it."""
    size = edit.turned(desk.library.full_size(row))
    return {
        "id": row,
        "name": desk.library.names[row],
        "stamp": desk.stamp(row),
        "size": size,
        "crop": edit.crop or (0, 0, *size),
    }


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)
