"""What a report finds wrong or worth knowing, with the pictures concerned and the changes that mend it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backend.config.geometry import GeometryRules
from backend.config.problems import Level, Problem, UserError
from backend.data.buckets import chooser, resolutions_of
from backend.data.captions import tag_weights
from backend.data.datasets import Dataset
from backend.data.fixes import Fix, exclude, exclude_names, rule_path
from backend.data.plan import count
from backend.data.quality import is_blurry, near_duplicates, same_content
from backend.data.records import ImageRecord, Scan
from backend.data.schedule import REGULARIZING
from backend.data.sd_scripts import is_dataset_file
from backend.data.statistics import View, duplicated, is_empty, is_missing

LISTED = 5
# Pictures enlarged by more than this are taught as blur.
ENLARGED = 2.0
# A picture of which more than this is cut away may have lost what its caption names.
CUT = 1 / 3
# A tag that begins so many captions of a data set is its trigger word, unless it is a common one.
MOSTLY = 0.8
# Data sets that are so many times as large as another drown it.
UNBALANCED = 8
TOKEN_LENGTHS = (75, 150, 225)
# Pictures that the scan does not use.
LEFT_OUT = ("images_unreadable", "edits_unusable")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found. `names` are all files concerned, as "data set/picture"; `records` index the scan's
    images, and are empty where the pictures are not among them."""

    problem: Problem
    names: tuple[str, ...] = ()
    records: tuple[int, ...] = ()
    fixes: tuple[Fix, ...] = ()


def _named(found: Scan, indices: Iterable[int]) -> tuple[str, ...]:
    return tuple(f"{found.datasets[found.images[i].dataset].title}/{found.images[i].name}" for i in indices)


def _finding(
    view: View,
    level: Level,
    code: str,
    path: str,
    indices: Sequence[int] = (),
    fixes: Sequence[Fix] = (),
    **params: Any,
) -> Finding:
    """Return a finding about pictures; its text has their number and the names of some."""
    few = [view.found.images[index].name for index in indices[:LISTED]]
    listed = ", ".join(few) + (" ..." if len(indices) > LISTED else "")
    problem = Problem(level, code, path, {"num": len(indices), "names": listed, **params})
    return Finding(problem, _named(view.found, indices), tuple(indices), tuple(fixes))


def _of_scan(view: View) -> Iterator[Finding]:
    """Pass on what the scan found, except for captions, which are told more exactly below."""
    for problem in view.found.problems:
        if problem.code == "captions_missing":
            continue
        names = view.found.names_of(problem)
        dataset = next((each for each in view.found.datasets if each.field == problem.path.rpartition(".")[0]), None)
        fixes = []
        if dataset is not None and problem.code in LEFT_OUT:
            fixes.append(exclude_names(dataset, names))
        if dataset is not None and problem.code == "masks_unused":
            fixes.append(Fix("mask_file", {}, ((problem.path, "file"),)))
        if problem.level == "error" and problem.code in (*LEFT_OUT, "captions_unreadable"):
            fixes.append(Fix("not_strict", {}, (("data.strict", False),)))
        title = f"{dataset.title}/" if dataset is not None else ""
        yield Finding(problem, tuple(f"{title}{name}" for name in names), fixes=tuple(fixes))


def _by_dataset(view: View, test: Callable[[ImageRecord], bool]) -> Iterator[tuple[Dataset, list[int]]]:
    """Yield the data sets that have pictures for which a test holds, with their indices."""
    matches: dict[int, list[int]] = defaultdict(list)
    for index, record in enumerate(view.found.images):
        if test(record):
            matches[record.dataset].append(index)
    for number, indices in matches.items():
        yield view.found.datasets[number], indices


def _captions(view: View) -> Iterator[Finding]:
    for code, test in (("captions_missing", is_missing), ("captions_empty", is_empty)):
        for dataset, indices in _by_dataset(view, test):
            yield _finding(view, "warning", code, f"{dataset.field}.path", indices, [exclude(view.found, indices)])
    long = np.flatnonzero(view.tokens > view.limit).tolist()
    if long:
        most = int(view.tokens.max())
        wanted = next((each for each in TOKEN_LENGTHS if each >= most), TOKEN_LENGTHS[-1])
        fixes = []
        if wanted > view.limit:
            fixes.append(Fix("token_length", {"value": wanted}, (("model.max_token_length", wanted),)))
        path = "model.max_token_length"
        yield _finding(view, "warning", "captions_long", path, long, fixes, limit=view.limit, most=most)
    images = view.found.images
    for dataset in view.found.datasets:
        members = view.members(dataset.index).tolist()
        same = duplicated([images[index] for index in members])
        repeated = [index for index, is_same in zip(members, same, strict=True) if is_same]
        # A caption that all pictures have was meant.
        if repeated and len({images[index].text for index in members}) > 1:
            yield _finding(view, "info", "captions_duplicated", f"{dataset.field}.path", repeated)


def _triggers(view: View) -> Iterator[Finding]:
    for dataset in view.found.datasets:
        rules, members = dataset.rules, view.members(dataset.index).tolist()
        trigger = rules.trigger_word.strip()
        fix: Fix
        if trigger and dataset.config.role in REGULARIZING:
            fix = Fix("no_trigger", {"title": dataset.title}, ((f"{dataset.field}.trigger_word", ""),))
            path = rule_path(dataset, "trigger_word")
            yield _finding(view, "warning", "trigger_in_class", path, [], [fix], title=dataset.title, value=trigger)
        elif not trigger and dataset.config.role == "train":
            separator = rules.caption_separator
            firsts = [view.found.images[index].text.partition(separator)[0].strip() for index in members]
            tag, number = Counter(firsts).most_common(1)[0] if firsts else ("", 0)
            lacking = [
                index
                for index, first in zip(members, firsts, strict=True)
                if first != tag and tag not in view.found.images[index].text
            ]
            if tag and lacking and number >= max(3, MOSTLY * len(members)):
                fix = Fix("trigger_word", {"value": tag}, ((f"{dataset.field}.trigger_word", tag),))
                path = rule_path(dataset, "trigger_word")
                yield _finding(view, "info", "trigger_missing", path, lacking, [fix], value=tag, most=number)


def _tag_weights(view: View) -> Iterator[Finding]:
    for dataset in view.found.datasets:
        try:
            tag_weights(tuple(dataset.rules.tag_dropout_weights))
        except UserError as error:
            yield Finding(replace(error.problem, path=rule_path(dataset, "tag_dropout_weights")))


def _left_out(view: View) -> Iterator[Finding]:
    for reason, indices in view.placed.left_out.items():
        name = reason.removesuffix("_some")
        for number, ours in _split(view, indices):
            dataset = view.found.datasets[number]
            is_rule = name != "num_repeats"
            path = rule_path(dataset, name) if is_rule else f"{dataset.field}.num_repeats"
            value = getattr(dataset.rules if is_rule else dataset.config, name)
            fixes = [Fix("no_limit", {}, ((path, 0),))] if is_rule else []
            yield _finding(view, "info", f"left_out_{reason}", path, ours, fixes, value=f"{value:g}")
    if view.found.images and not view.placed.placements:
        yield _finding(view, "error", "nothing_left", "data.datasets")
    elif view.placed.placements and not count(view.schedule, view.config.training).total_steps:
        yield _finding(view, "error", "no_steps", "data.datasets", value=view.config.training.num_epochs)


def _split(view: View, indices: Iterable[int]) -> list[tuple[int, list[int]]]:
    """Return indices by data set."""
    groups: dict[int, list[int]] = defaultdict(list)
    for index in indices:
        groups[view.found.images[index].dataset].append(index)
    return list(groups.items())


def _enlarged(view: View) -> Iterator[Finding]:
    images = view.found.images
    pairs = zip(view.trained.tolist(), view.placed.placements, strict=True)
    small = sorted(
        {
            index
            for index, item in pairs
            if item.resized[0] > ENLARGED * images[index].width or item.resized[1] > ENLARGED * images[index].height
        }
    )
    if not small:
        return
    fixes = [exclude(view.found, small)]
    changes = {}
    for number, _ in _split(view, small):
        dataset = view.found.datasets[number]
        if dataset.rules.enable_bucket and dataset.rules.bucket_rule == "kohya":
            changes[rule_path(dataset, "bucket_no_upscale")] = True
    if changes:
        fixes.append(Fix("no_upscale", {}, tuple(changes.items())))
    yield _finding(view, "warning", "images_small", "data.bucket_no_upscale", small, fixes)


def _cropped(view: View) -> Iterator[Finding]:
    worst = np.unique(view.trained[view.cut > CUT]).tolist()
    for number, indices in _split(view, worst):
        dataset = view.found.datasets[number]
        is_bucketed = dataset.rules.enable_bucket
        level: Level = "warning" if is_bucketed else "info"
        path = rule_path(dataset, "max_bucket_resolution" if is_bucketed else "enable_bucket")
        share = max(float(view.cut[view.trained == index].max()) for index in indices)
        fixes = [*_wider_buckets(view, dataset, indices), exclude(view.found, indices)]
        yield _finding(view, level, "images_cropped", path, indices, fixes, share=f"{share:.0%}")


def _wider_buckets(view: View, dataset: Dataset, indices: Sequence[int]) -> Iterator[Fix]:
    """Yield a change of the bucket limits with which none of some pictures loses much, if there is one."""
    rules = dataset.rules
    if not rules.enable_bucket:
        yield Fix("enable_bucket", {}, ((rule_path(dataset, "enable_bucket"), True),))
        return
    if rules.bucket_rule != "kohya":
        return
    sizes = {(view.found.images[index].width, view.found.images[index].height) for index in indices}
    low, high = rules.min_bucket_resolution, rules.max_bucket_resolution
    while low // 2 >= rules.bucket_step and high * 2 <= 8192:
        low, high = low // 2, high * 2
        wider = rules.model_copy(update={"min_bucket_resolution": low, "max_bucket_resolution": high})
        if max(_share_cut(size, wider) for size in sizes) <= CUT:
            paths = [rule_path(dataset, name) for name in ("min_bucket_resolution", "max_bucket_resolution")]
            yield Fix("bucket_limits", {"low": low, "high": high}, tuple(zip(paths, (low, high), strict=True)))
            return


def _share_cut(size: tuple[int, int], rules: GeometryRules) -> float:
    """Return the largest share of a picture that is cut away at any of its resolutions."""
    shares = []
    for resolution in resolutions_of(rules):
        choice = chooser(rules, resolution=resolution)(size)
        width, height = choice.resized
        shares.append(1 - choice.bucket[0] * choice.bucket[1] / (width * height))
    return max(shares)


def _batches(view: View) -> Iterator[Finding]:
    """Tell of batches that are filled up, and of those that are dropped."""
    general = view.config.training.batch_size
    samples = [group.num_samples for group in view.groups if group.batch_size == general and group.num_samples]
    fixes = []
    if samples and min(samples) < general:
        fixes.append(Fix("batch_size", {"value": min(samples)}, (("training.batch_size", min(samples)),)))
    repeated = [group for group in view.groups if group.num_repeated]
    if repeated:
        yield _finding(
            view,
            "info",
            "batches_filled",
            "data.small_buckets",
            _in_buckets(view, [group.bucket for group in repeated if group.num_samples < group.batch_size]),
            fixes,
            buckets=len(repeated),
            samples=sum(group.num_repeated for group in repeated),
        )
    dropped = [group for group in view.groups if group.num_dropped]
    if dropped:
        fixes.append(Fix("small_buckets", {}, (("data.small_buckets", "repeat"),)))
        lost = _in_buckets(view, [group.bucket for group in dropped if not group.num_batches])
        number = sum(group.num_dropped for group in dropped)
        yield _finding(
            view, "warning", "batches_dropped", "data.small_buckets", lost, fixes[::-1], samples=number, never=len(lost)
        )


def _in_buckets(view: View, buckets: Iterable[tuple[int, int]]) -> list[int]:
    """Return the pictures that are trained at some sizes."""
    wanted = set(buckets)
    pairs = zip(view.trained.tolist(), view.placed.placements, strict=True)
    return sorted({index for index, item in pairs if item.bucket in wanted})


def _balance(view: View) -> Iterator[Finding]:
    """Tell when one data set is seen so much more often than another that the other is drowned."""
    if view.config.data.mixing != "size":
        return
    seen = {
        dataset.index: int(view.samples[view.owners[view.trained] == dataset.index].sum())
        for dataset in view.found.datasets
        if dataset.config.role == "train"
    }
    seen = {number: samples for number, samples in seen.items() if samples}
    if len(seen) < 2 or max(seen.values()) < UNBALANCED * min(seen.values()):
        return
    most, least = max(seen, key=lambda each: seen[each]), min(seen, key=lambda each: seen[each])
    fields = Counter(dataset.field for dataset in view.found.datasets)
    small = view.found.datasets[least]
    fixes = []
    if not small.config.num_samples and fields[small.field] == 1:
        repeats = round(small.config.num_repeats * seen[most] / seen[least], 2)
        params = {"title": small.title, "value": f"{repeats:g}"}
        fixes.append(Fix("num_repeats", params, ((f"{small.field}.num_repeats", repeats),)))
    large, path = view.found.datasets[most].title, f"{small.field}.num_repeats"
    yield _finding(
        view, "info", "unbalanced", path, [], fixes, small=small.title, few=seen[least], large=large, many=seen[most]
    )


def _unused(view: View) -> Iterator[Finding]:
    """Tell of class pictures that the first epoch does not show: there are more of them than training samples."""
    regularizing = [dataset.index for dataset in view.found.datasets if dataset.config.role in REGULARIZING]
    is_ours = np.isin(view.owners[view.trained], regularizing)
    unused = np.setdiff1d(view.trained[is_ours & (view.samples == 0)], view.trained[is_ours & (view.samples > 0)])
    for number, indices in _split(view, unused.tolist()):
        yield _finding(view, "info", "class_unused", f"{view.found.datasets[number].field}.path", indices)


def _damaged(view: View) -> Iterator[Finding]:
    damaged = [index for index, looks in enumerate(view.seen.looks) if looks is not None and looks.error]
    if damaged:
        level: Level = "error" if view.config.data.strict else "warning"
        yield _finding(view, level, "images_damaged", "data.datasets", damaged, [exclude(view.found, damaged)])


def _blurry(view: View) -> Iterator[Finding]:
    trained = np.unique(view.trained).tolist()
    blurry = [index for index in trained if is_blurry(view.seen.looks[index])]
    if blurry:
        blurry.sort(key=lambda index: view.seen.looks[index].sharpness)  # type: ignore[union-attr]
        yield _finding(view, "info", "images_blurry", "data.datasets", blurry, [exclude(view.found, blurry)])


def _duplicates(view: View) -> Iterator[Finding]:
    trained = np.unique(view.trained).tolist()
    exact = [_best_first(view, group) for group in same_content(view.seen.contents, trained)]
    exact = [group for group in exact if len(group) > 1]
    if exact:
        yield _duplicate_finding(view, "warning", "images_duplicated", exact)
    copies = {index for group in exact for index in group[1:]}
    rest = [index for index in trained if index not in copies]
    near = [_best_first(view, group) for group in near_duplicates(view.seen.looks, rest)]
    near = [group for group in near if len(group) > 1]
    if near:
        yield _duplicate_finding(view, "info", "images_alike", near)


def _best_first(view: View, group: Sequence[int]) -> list[int]:
    """Sort copies by what speaks for keeping them; the same file in two data sets was meant, and is one."""
    images = view.found.images
    once: dict[str, int] = {}
    for index in group:
        once.setdefault(images[index].location, index)

    def order(index: int) -> tuple[bool, int, int]:
        record = images[index]
        return not record.captions, -record.width * record.height, index

    return sorted(once.values(), key=order)


def _duplicate_finding(view: View, level: Level, code: str, groups: Sequence[Sequence[int]]) -> Finding:
    """Return a finding that lists copies side by side, the best first, and leaves out all but the best."""
    listed = [index for group in groups for index in group]
    extra = [index for group in groups for index in group[1:]]
    fix = exclude(view.found, extra, "exclude_copies")
    return _finding(view, level, code, "data.datasets", listed, [fix], groups=len(groups), copies=len(extra))


def _leaked(view: View) -> Iterator[Finding]:
    """Tell of pictures that are trained although a validation set has them, by their bytes or their place."""
    images, contents = view.found.images, view.seen.contents
    measured = view.validation.tolist()
    places = {images[index].location for index in measured}
    hashes = {contents[index] for index in measured} - {""}
    trained = np.unique(view.trained).tolist()
    leaked = [index for index in trained if images[index].location in places or contents[index] in hashes]
    if leaked:
        yield _finding(view, "warning", "in_validation", "data.datasets", leaked, [exclude(view.found, leaked)])


PARTS = (
    _of_scan,
    _tag_weights,
    _left_out,
    _damaged,
    _leaked,
    _captions,
    _triggers,
    _enlarged,
    _cropped,
    _batches,
    _balance,
    _unused,
    _duplicates,
    _blurry,
)
LEVELS = ("error", "warning", "info")


def find(view: View) -> tuple[Finding, ...]:
    """Return all that is found, errors first."""
    rows = enumerate(view.config.data.datasets)
    fixed_rows = {f"data.datasets[{number}]" for number, row in rows if is_dataset_file(row)}
    found = [_mendable(finding, fixed_rows) for part in PARTS for finding in part(view)]
    return tuple(sorted(found, key=lambda finding: LEVELS.index(finding.problem.level)))


def _mendable(finding: Finding, fixed_rows: set[str]) -> Finding:
    """Return a finding without fixes that would do nothing: what a data set file says holds in its row."""

    def works(fix: Fix) -> bool:
        places = [path.rpartition(".") for path, _ in fix.changes]
        return not any(row in fixed_rows and name != "exclude" for row, _, name in places)

    return replace(finding, fixes=tuple(filter(works, finding.fixes)))
