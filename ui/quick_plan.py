"""What the choices of the Quick page do to a configuration. Pure: plain data in, plain data out."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.config import presets
from backend.config.base import flatten
from backend.config.root import TrainConfig
from backend.data.records import ImageRecord, Scan
from backend.families.detect import Detection
from backend.families.specs import FAMILIES
from ui import goals

Data = Mapping[str, Any]
NUM_PROMPTS = 2
DEFAULTS = TrainConfig()
DEMO_PATH = Path(__file__).resolve().parents[1] / "presets" / "demo" / "demo.toml"


def get(data: Data, path: str, default: Any = "") -> Any:
    """Return one value; the default when it is not set, or is of another type in a draft written by hand."""
    section, name = path.split(".", 1)
    table = data.get(section)
    value = table.get(name, default) if isinstance(table, Mapping) else default
    return value if isinstance(value, type(default)) else default


def datasets(data: Data) -> list[dict[str, Any]]:
    """Return the folders of pictures."""
    return [dict(item) for item in get(data, "data.datasets", []) if isinstance(item, Mapping)]


def folder_of(data: Data) -> str:
    """Return the first folder of pictures; empty when there is none."""
    return next((str(item.get("path", "")) for item in datasets(data)), "")


def with_values(data: Data, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain data with parameters set by path."""
    result = copy.deepcopy(dict(data))
    for path, value in values.items():
        section, name = path.split(".", 1)
        if not isinstance(result.get(section), dict):
            result[section] = {}
        result[section][name] = value
    return result


def with_base_model(data: Data, found: Detection | None) -> dict[str, Any]:
    """Set the family of a newly chosen base model, and the sizes that go with a family that was not set before."""
    family = get(data, "model.family", DEFAULTS.model.family)
    if found is None or found.family is None or found.family == family:
        return dict(data)
    values = {"model.family": found.family, "model.prediction_type": "auto"}
    old = FAMILIES.get(family)
    reset = {path: _default(path) for path in (old.defaults if old else {})}
    return with_values(data, {**reset, **values, **FAMILIES[found.family].defaults})


def _default(path: str) -> Any:
    section, name = path.split(".", 1)
    return getattr(getattr(DEFAULTS, section), name)


def with_folder(data: Data, folder: str) -> dict[str, Any]:
    """Set the first folder of pictures; the others of the Expert page stay."""
    first, *others = datasets(data) or [{}]
    chosen = [{**first, "path": folder}, *others] if folder or others else []
    return with_values(data, {"data.datasets": chosen})


def training_records(found: Scan) -> list[ImageRecord]:
    """Return the pictures that are learned from: not those of a class, nor those that are only measured."""
    learned = [dataset.config.role == "train" for dataset in found.datasets]
    return [record for record in found.images if learned[record.dataset]]


def num_single_samples(found: Scan) -> float:
    """Return how many pictures an epoch has when each folder is repeated once; 10_name folders keep their number."""
    repeats = [dataset.config.num_repeats or 1 for dataset in found.datasets]
    return sum(record.num_repeats / repeats[record.dataset] for record in training_records(found))


def is_balanced(config: TrainConfig) -> bool:
    """Tell whether the data sets are weighed against each other, by repeats or by numbers of samples."""
    rows = [dataset for dataset in config.data.datasets if dataset.enabled and dataset.role == "train"]
    return len({row.num_repeats for row in rows}) > 1 or any(row.num_samples for row in rows)


def with_quality(data: Data, config: TrainConfig, found: Scan, quality: int) -> dict[str, Any]:
    """Set repeats and epochs for the steps of a quality. Folders of different repeats keep them: they are a balance."""
    goal = next((goal for goal in goals.GOALS if goal.name == _goal(config)), goals.GOALS[0])
    num_steps = round(goal.num_steps * goals.QUALITIES[quality].factor)
    batch, folders = pictures_per_step(config), datasets(data)
    if is_balanced(config):
        num_samples = round(sum(record.num_repeats for record in training_records(found)))
        _, epochs = goals.schedule(num_samples, num_steps=num_steps, batch_size=batch, repeats=1)
    else:
        num_samples = round(num_single_samples(found))
        repeats, epochs = goals.schedule(num_samples, num_steps=num_steps, batch_size=batch)
        folders = [{**item, "num_repeats": repeats} if _is_learned(item) else item for item in folders]
    return with_values(data, {"data.datasets": folders, "training.num_epochs": epochs, "training.max_steps": 0})


def _is_learned(row: Data) -> bool:
    return row.get("role", "train") == "train" and row.get("enabled", True) is not False


def pictures_per_step(config: TrainConfig) -> int:
    """Return how many pictures one optimizer step sees."""
    training = config.training
    return training.batch_size * training.gradient_accumulation_steps * config.hardware.num_processes


def _goal(config: TrainConfig) -> str:
    return goals.matching(goals.GOALS, flatten(config))


def default_prompts(records: Sequence[ImageRecord], trigger_word: str) -> list[dict[str, Any]]:
    """Return sample prompts made of the first captions, behind the trigger word, as training itself shows them."""
    captions = list(dict.fromkeys(record.text for record in records if record.text))[:NUM_PROMPTS]
    texts = [", ".join(part for part in (trigger_word, caption) if part) for caption in captions or [""]]
    return [{"prompt": text} for text in texts if text]


def with_prompts(data: Data, records: Sequence[ImageRecord]) -> dict[str, Any]:
    """Fill in sample prompts where there are none, or where they are still the ones that were filled in here."""
    prompts, trigger_word = get(data, "sampling.prompts", []), get(data, "data.trigger_word").strip()
    if prompts == default_prompts([], trigger_word):  # as they are while there are no captions
        prompts = []
    own = default_prompts(records, "")
    untouched = len(prompts) == len(own) and all(
        isinstance(prompt, Mapping) and str(prompt.get("prompt", "")).endswith(default["prompt"])
        for prompt, default in zip(prompts, own, strict=True)
    )
    if prompts and not untouched:
        return dict(data)
    return with_values(data, {"sampling.prompts": default_prompts(records, trigger_word)})


def demo() -> dict[str, Any]:
    """Return the configuration of the embedded demo."""
    return presets.read(DEMO_PATH)
