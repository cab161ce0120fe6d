"""The four steps of the Quick page as HTML, made from a configuration and what was found out about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from backend.config.messages import translate
from backend.config.problems import Problem
from backend.families.detect import Detection, is_hub_id
from ui import goals, wording
from ui.background import Cancelled
from ui.findings import Findings
from ui.folders import PickKind
from ui.markup import render
from ui.uploads import Upload

STRIP_LENGTH = 12


@dataclass(frozen=True, slots=True)
class ProblemLine:
    """A problem in words, and what a button beside it does: an action of the page, or a field to go to."""

    level: str
    text: str
    path: str
    fix: str
    browse: str = ""
    kind: PickKind = "folder"


@dataclass(frozen=True, slots=True)
class QualityMark:
    """One stop of the quality slider."""

    name: str
    num_steps: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class TierMark:
    """One memory tier; `fits` is None when it is not known what there is."""

    name: str
    num_bytes: float | None
    batch_size: int
    fits: bool | None


def base_model_html(
    value: str,
    found: Detection | None,
    problems: Sequence[Problem],
    recent: Sequence[str],
    language: str,
    *,
    replaces: bool = False,
) -> Markup:
    """Return what is under the base model's field: the demo, recent models, and what the chosen one is.

    `replaces` says that the demo would take the place of choices of the user's, so that it is asked for first.
    """
    return render(
        "quick/base_model.html",
        language,
        value=value,
        found=found,
        is_hub=bool(value) and is_hub_id(value),
        problems=problem_lines(problems, language),
        replaces=replaces,
        recent=[{"path": path, "name": Path(path).name or path} for path in recent],
    )


def pictures_html(
    found: Findings, num_datasets: int, problems: Sequence[Problem], language: str, root: str = ".."
) -> Markup:
    """Return the strip of thumbnails and how many pictures have captions; or how far looking through them is."""
    records = found.images
    return render(
        "quick/pictures.html",
        language,
        pictures=[
            {"source": f"{root}/pictures/{found.number}/{index}", "name": record.name, "caption": record.text}
            for index, record in enumerate(records[:STRIP_LENGTH])
        ],
        waiting=wording.going_on(found.waiting, language, kind=found.stage) if found.waiting else "",
        is_cancelled=isinstance(found.waiting, Cancelled),
        num_images=len(records),
        num_captioned=sum(bool(record.text) for record in records),
        num_more=max(0, len(records) - STRIP_LENGTH),
        num_datasets=num_datasets,
        problems=problem_lines(problems, language),
    )


def goal_html(
    goal: str,
    qualities: Sequence[QualityMark],
    quality: int,
    tiers: Sequence[TierMark],
    tier: str,
    machine: str,
    language: str,
) -> Markup:
    """Return goal cards, quality slider and memory tiers."""
    return render(
        "quick/goal.html",
        language,
        goals=goals.GOALS,
        goal=goal,
        qualities=qualities,
        quality=quality,
        tiers=tiers,
        tier=tier,
        machine=machine,
    )


def review_html(
    sentence: str,
    *,
    memory: dict[str, Any] | None,
    seconds: float | None,
    problems: Sequence[Problem],
    language: str,
    waiting: str = "",
    can_tag: bool = False,
) -> Markup:
    """Return the plan in one sentence, memory and time, and every problem; `waiting` says why there is none yet.

    `can_tag` says that a tagger can be started on the pictures without captions.
    """
    return render(
        "quick/review.html",
        language,
        sentence=sentence,
        memory=memory,
        seconds=seconds,
        waiting=waiting,
        problems=problem_lines(problems, language, can_tag=can_tag),
    )


# Problems that a button of this page can mend, by code; for the others it goes to the field.
FIXES = {
    "datasets_empty": "pictures",
    "dataset_path_empty": "pictures",
    "dataset_missing": "pictures",
    "dataset_not_folder": "pictures",
    "dataset_empty": "pictures",
    "base_model_empty": "model",
    "base_model_missing": "model",
    "base_model_lora": "model",
    "base_model_other": "model",
    "base_model_unknown": "model",
    "base_model_incomplete": "model",
    "file_corrupt": "model",
    "file_truncated": "model",
    "base_model_family": "family",
    "no_samples": "prompt",
    "memory_too_small": "memory",
    "memory_tight": "memory",
    "captions_missing": "tag",
    "masks_unused": "masks",
}


# Those that are mended by choosing something: the text box that the picker fills, and what it offers.
BROWSE: dict[str, tuple[str, PickKind]] = {
    "pictures": ("quick-data-datasets-path", "data"),
    "model": ("quick-model-base_model", "model"),
}


def problem_lines(problems: Sequence[Problem], language: str, *, can_tag: bool = False) -> list[ProblemLine]:
    """Return problems in words, errors first."""
    ordered = sorted(problems, key=lambda problem: problem.level != "error")
    fixes = {code: fix for code, fix in FIXES.items() if can_tag or fix != "tag"}
    return [_problem_line(problem, language, fixes.get(problem.code, "")) for problem in ordered]


def _problem_line(problem: Problem, language: str, fix: str) -> ProblemLine:
    browse, kind = BROWSE.get(fix, ("", "folder"))
    return ProblemLine(problem.level, problem.text(language), problem.path, fix, browse, kind)


def upload_words(done: Upload, language: str) -> str:
    """Return what became of the files that were dropped: where they are, and which were refused and why."""
    t = partial(translate, language=language)
    parts = [t("quick.upload.done", count=len(done.stored), folder=done.folder)] if done.stored else []
    if done.refused:
        names = "; ".join(f"{refused.name} {t(refused.reason)}" for refused in done.refused)
        parts.append(t("quick.upload.refused", names=names))
    return " ".join(parts)
