"""What the Data page shows, as plain data for its script: cards, numbers, findings, crops, captions. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backend import preflight
from backend.config.captions import CaptionRules
from backend.config.messages import translate
from backend.data.buckets import BucketChoice, choose, resolutions_of
from backend.data.datasets import Dataset
from backend.data.records import ImageRecord, Scan
from backend.data.report import BucketRow, CropRow, DatasetReport, Finding, Histogram, Report
from ui.findings import LEVELS, Findings

Data = dict[str, Any]
NUM_NAMES = 20
NUM_STRIP = 4
NUM_FACES = 8
# What a path tells of a data set that says "automatic".
KINDS = {
    ".json": "metadata",
    ".jsonl": "metadata",
    ".csv": "table",
    ".parquet": "table",
    ".tar": "webdataset",
    ".toml": "sd_scripts",
}


def kind_of(row: Mapping[str, Any]) -> str:
    """Return the kind of source of a data set, told from its path where it is automatic."""
    if row.get("source", "auto") != "auto":
        return str(row["source"])
    path = str(row.get("path", "")).lower()
    return next((kind for ending, kind in KINDS.items() if path.endswith(ending)), "folder")


def title_of(row: Mapping[str, Any], language: str) -> str:
    """Return what a data set is called."""
    path = str(row.get("path", "")).rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]
    return str(row.get("name") or path or translate("dataroom.unnamed", language))


def parts_of(found: Scan | None, index: int) -> list[Dataset]:
    """Return the data sets that one row of the configuration is: several for a data set file of sd-scripts."""
    field = f"data.datasets[{index}]"
    return [dataset for dataset in found.datasets if dataset.field == field] if found else []


def cards(rows: Sequence[Mapping[str, Any]], findings: Findings, report: Report | None, language: str) -> list[Data]:
    """Return a card for each data set of the configuration, and one for each part of a data set file."""
    members = members_of(findings.scan)
    shown = []
    for index, row in enumerate(rows):
        parts = parts_of(findings.scan, index)
        shown.append(_card(str(index), row, parts, findings, report, members, language))
        for number, part in enumerate(parts if len(parts) > 1 else ()):
            card = _card(f"{index}.{number}", row, [part], findings, report, members, language)
            shown.append({**card, "title": part.title, "is_part": True, "role": _role(part.config.role, language)})
    return shown


def _card(
    key: str,
    row: Mapping[str, Any],
    parts: Sequence[Dataset],
    findings: Findings,
    report: Report | None,
    members: Mapping[int, range],
    language: str,
) -> Data:
    numbers = [report.datasets[part.index] for part in parts] if report else []
    samples = sum(each.num_samples for each in numbers)
    total = report.total.num_samples if report else 0
    found = findings.scan
    return {
        "key": key,
        "title": title_of(row, language),
        "path": str(row.get("path", "")),
        "role": _role(str(row.get("role", "train")), language),
        "kind": translate(f"choice.datasets.source.{kind_of(row)}", language),
        "enabled": row.get("enabled", True) is not False,
        "images": sum(len(members[part.index]) for part in parts) if found else None,
        "samples": samples if report else None,
        "share": round(100 * samples / total, 1) if total else None,
        "level": worst([each for each in report.findings if concerns(each, parts, found)]) if report and found else "",
        "pictures": [index for part in parts for index in members[part.index][:NUM_STRIP]][:NUM_STRIP],
        "is_part": False,
    }


def _role(role: str, language: str) -> str:
    return translate(f"choice.datasets.role.{role}", language)


def members_of(found: Scan | None) -> dict[int, range]:
    """Return the indices of the pictures of each data set, which stand together, by its index."""
    counts = Counter(record.dataset for record in found.images) if found else Counter()
    ranges: dict[int, range] = {}
    start = 0
    for dataset in found.datasets if found else ():
        ranges[dataset.index] = range(start, start + counts[dataset.index])
        start += counts[dataset.index]
    return ranges


def concerns(finding: Finding, parts: Sequence[Dataset], found: Scan) -> bool:
    """Tell whether a finding is about some data sets: by its pictures, their names, or else by its field."""
    if finding.records:
        numbers = {part.index for part in parts}
        return any(found.images[index].dataset in numbers for index in finding.records)
    if not any(finding.problem.path.startswith(f"{part.field}.") for part in parts):
        return False
    titles = tuple(f"{part.title}/" for part in parts)
    return not finding.names or any(name.startswith(titles) for name in finding.names)


def worst(findings: Sequence[Finding]) -> str:
    """Return the worst level; empty when there is nothing."""
    return min((finding.problem.level for finding in findings), key=LEVELS.index, default="")


def finding_rows(report: Report, parts: Sequence[Dataset] | None, found: Scan, language: str) -> list[Data]:
    """Return the findings about some data sets, or all, the worst first."""
    numbered = [
        (number, finding)
        for number, finding in enumerate(report.findings)
        if parts is None or concerns(finding, parts, found)
    ]
    numbered.sort(key=lambda pair: LEVELS.index(pair[1].problem.level))
    return [
        {
            "number": number,
            "code": finding.problem.code,
            "level": finding.problem.level,
            "text": finding.problem.text(language),
            "path": finding.problem.path,
            "num": len(finding.names),
            "pictures": list(finding.records[:NUM_FACES]),
            "fixes": [{"number": index, "text": fix.text(language)} for index, fix in enumerate(finding.fixes)],
        }
        for number, finding in numbered
    ]


def names_of(finding: Finding, offset: int) -> Data:
    """Return a page of the names of a finding, with their pictures where there are some."""
    names = finding.names[offset : offset + NUM_NAMES]
    records = finding.records[offset : offset + NUM_NAMES]
    pairs = zip(names, records if len(records) == len(names) else [None] * len(names), strict=True)
    return {"num": len(finding.names), "offset": offset, "names": [{"name": name, "record": at} for name, at in pairs]}


def numbers_of(numbers: DatasetReport, found: Scan, language: str) -> Data:
    """Return the numbers of one data set, or of all."""
    captions = numbers.captions
    return {
        "facts": list(_facts(numbers, language)),
        "megapixels": _bars(numbers.megapixels, "megapixels"),
        "aspects": _bars(numbers.aspects, "aspect"),
        "buckets": [_bucket(row) for row in numbers.buckets],
        "crops": [crop for row in numbers.crops if (crop := _crop(row, found))],
        "captions": {
            "num_missing": captions.num_missing,
            "num_empty": captions.num_empty,
            "num_long": captions.num_long,
            "num_duplicated": captions.num_duplicated,
            "num_without_trigger": captions.num_without_trigger,
            "mean_tokens": round(captions.mean_tokens, 1),
            "most_tokens": captions.most_tokens,
            "limit": captions.limit,
        },
        "tags": [list(pair) for pair in numbers.tags],
    }


def _facts(numbers: DatasetReport, language: str) -> Iterator[Data]:
    low, high = numbers.repeats
    repeats = f"{low:g}" if low == high else f"{low:g} - {high:g}"
    values = {
        "images": numbers.num_images,
        "trained": numbers.num_trained,
        "validation": numbers.num_validation,
        "repeats": repeats,
        "samples": numbers.num_samples,
    }
    for name, value in values.items():
        if name != "validation" or value:
            text = f"{value:,}" if isinstance(value, int) else value
            yield {"label": translate(f"dataroom.fact.{name}", language), "value": text}


def _bars(histogram: Histogram, name: str) -> list[Data]:
    """Return the bars of a histogram, without those at both ends that are empty."""
    edges = (None, *histogram.edges, None)
    bars = [
        {"of": name, "low": edges[index], "high": edges[index + 1], "count": count}
        for index, count in enumerate(histogram.counts)
    ]
    filled = [index for index, bar in enumerate(bars) if bar["count"]]
    return bars[filled[0] : filled[-1] + 1] if filled else []


def _bucket(row: BucketRow) -> Data:
    return {
        "width": row.size[0],
        "height": row.size[1],
        "images": row.num_images,
        "samples": row.num_samples,
        "batches": row.num_batches,
        "repeated": row.num_repeated,
        "dropped": row.num_dropped,
        "pictures": list(row.examples),
    }


def _crop(row: CropRow, found: Scan) -> Data | None:
    """Return a picture with the part of it that is kept, in percent of its sides."""
    record = found.images[row.record]
    rules = found.datasets[record.dataset].rules
    choices = [choose((record.width, record.height), rules, resolution=each) for each in resolutions_of(rules)]
    choice = min(choices, key=lambda each: abs(_cut_share(each) - row.share))
    width, height = (100 * kept / whole for kept, whole in zip(choice.bucket, choice.resized, strict=True))
    corner = rules.crop == "corner"
    return {
        "record": row.record,
        "name": record.name,
        "percent": round(100 * row.share),
        "size": f"{record.width} x {record.height}",
        "bucket": f"{choice.bucket[0]} x {choice.bucket[1]}",
        "left": 0 if corner else (100 - width) / 2,
        "top": 0 if corner else (100 - height) / 2,
        "width": width,
        "height": height,
        "is_exact": rules.crop in ("center", "corner"),
    }


def _cut_share(choice: BucketChoice) -> float:
    return 1 - choice.bucket[0] * choice.bucket[1] / (choice.resized[0] * choice.resized[1])


def arithmetic(findings: Findings, report: Report, language: str) -> list[str]:
    """Return the steps as the trainer will count them, line by line."""
    config, plan, found, count = findings.config, findings.plan, findings.scan, report.count
    assert config is not None and found is not None
    lines = [preflight.sentence(config, plan, found, language)] if plan else []
    steps = count.epoch_steps
    if len(set(steps)) > 1:
        listed = ", ".join(f"{num:,}" for num in steps[:8]) + (" ..." if len(steps) > 8 else "")
        lines.append(translate("dataroom.epochs_differ", language, steps=listed))
    repeated = sum(row.num_repeated for row in report.total.buckets)
    dropped = sum(row.num_dropped for row in report.total.buckets)
    if repeated:
        lines.append(translate("dataroom.repeated", language, num=f"{repeated:,}"))
    if dropped:
        lines.append(translate("dataroom.dropped", language, num=f"{dropped:,}"))
    return lines


def matches(record: ImageRecord, wanted: Mapping[str, Any], rules: CaptionRules) -> bool:
    """Tell whether a picture is wanted: by a text in its name or captions, a tag, or a bar of a histogram."""
    text = str(wanted.get("text", "")).strip().lower()
    if text and text not in record.name.lower() and not any(text in each.lower() for each in record.captions):
        return False
    tag = wanted.get("tag")
    if tag and not any(tag in _tags(caption, rules) for caption in record.captions or (record.class_tokens,)):
        return False
    if "of" not in wanted:
        return True
    value = record.width * record.height / 1e6 if wanted["of"] == "megapixels" else record.width / record.height
    low, high = wanted.get("low"), wanted.get("high")
    return (low is None or value >= low) and (high is None or value < high)


def _tags(caption: str, rules: CaptionRules) -> set[str]:
    for mark in (rules.keep_tokens_separator, rules.secondary_separator, "\n"):
        if mark:
            caption = caption.replace(mark, rules.caption_separator)
    return {tag.strip() for tag in caption.split(rules.caption_separator)}
