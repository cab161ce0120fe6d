"""The whole configuration: sections, versions, reading and refusing."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from backend.config import presets
from backend.config.base import Parameter, Section, parameter, walk
from backend.config.data import CacheSection, DataSection, migrate_data_1
from backend.config.datasets import DatasetConfig
from backend.config.diffusion import LossSection, NoiseSection, ValidationSection
from backend.config.model import AdapterSection, ModelSection
from backend.config.output import LoggingSection, OutputSection, SamplePrompt, SamplingSection
from backend.config.problems import ConfigError, Problem, UserError
from backend.config.training import HardwareSection, OptimizerSection, SchedulerSection, TrainingSection

CURRENT_VERSION = 2
# From version n to n + 1. A parameter that is renamed or moved gets its line here, so that old files keep running.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: migrate_data_1}


class TrainConfig(Section):
    """Everything that a training run is asked to do."""

    version: Annotated[int, Field(ge=1, le=CURRENT_VERSION)] = CURRENT_VERSION
    model: ModelSection = Field(default_factory=ModelSection)
    data: DataSection = Field(default_factory=DataSection)
    cache: CacheSection = Field(default_factory=CacheSection)
    adapter: AdapterSection = Field(default_factory=AdapterSection)
    training: TrainingSection = Field(default_factory=TrainingSection)
    optimizer: OptimizerSection = Field(default_factory=OptimizerSection)
    scheduler: SchedulerSection = Field(default_factory=SchedulerSection)
    noise: NoiseSection = Field(default_factory=NoiseSection)
    loss: LossSection = Field(default_factory=LossSection)
    validation: ValidationSection = Field(default_factory=ValidationSection)
    sampling: SamplingSection = Field(default_factory=SamplingSection)
    output: OutputSection = Field(default_factory=OutputSection)
    logging: LoggingSection = Field(default_factory=LoggingSection)
    hardware: HardwareSection = Field(default_factory=HardwareSection)


ITEM_MODELS: dict[str, type[Section]] = {"datasets": DatasetConfig, "prompts": SamplePrompt}


@cache
def parameters() -> tuple[Parameter, ...]:
    """Return every parameter of the schema in the order of the sections."""
    return tuple(walk(TrainConfig))


@cache
def item_parameters(kind: str) -> tuple[Parameter, ...]:
    """Return the parameters of one item of a list, such as one data set."""
    model = ITEM_MODELS[kind]
    found = [parameter(name, info) for name, info in model.model_fields.items()]
    return tuple(sorted(found, key=lambda item: item.ui.inherits))


@cache
def by_path() -> Mapping[str, Parameter]:
    """Return the parameters by path."""
    return {item.path: item for item in parameters()}


def _known_names(location: tuple[str | int, ...]) -> list[str]:
    """Return the field names that are allowed where an unknown key was found."""
    model: Any = TrainConfig
    for part in location[:-1]:
        if isinstance(part, str):
            annotation = model.model_fields[part].annotation
            model = next(iter(get_args(annotation)), annotation)
    return list(model.model_fields)


def suggest(name: str, names: Iterable[str]) -> str:
    """Return the nearest known name, or an empty string when nothing is near."""
    return next(iter(difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)), "")


def _path_of(location: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


def _unknown_key(location: tuple[str | int, ...], value: Any) -> Problem:
    name, path = str(location[-1]), _path_of(location)
    # Another trainer's name, or the right name in the wrong section; one of this section before the others.
    same = [known for known in parameters() if name == known.name or name in known.ui.aliases]
    same.sort(key=lambda known: known.section != location[0])
    near = same[0].path if same else suggest(name, _known_names(location))
    code = "unknown_key_suggest" if near else "unknown_key"
    return Problem("error", code, path, {"name": name, "suggestion": near, "value": value})


def _problem(error: ErrorDetails) -> Problem:
    if error["type"] == "extra_forbidden":
        return _unknown_key(error["loc"], error["input"])
    params = {"value": error["input"], **error.get("ctx", {}), "message": error["msg"]}
    return Problem("error", error["type"], _path_of(error["loc"]), {k: v for k, v in params.items() if k != "error"})


def migrate(data: Mapping[str, Any]) -> dict[str, Any]:
    """Bring the data of an older version to the current one.

    Raises:
        ConfigError: The version is not a number, or newer than this program.
    """
    version = data.get("version", CURRENT_VERSION)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ConfigError([Problem("error", "version_invalid", "version", {"value": version})])
    if version > CURRENT_VERSION:
        raise ConfigError(
            [Problem("error", "version_too_new", "version", {"value": version, "known": CURRENT_VERSION})]
        )
    migrated = dict(data)
    for step in range(version, CURRENT_VERSION):
        migrated = MIGRATIONS[step](migrated)
    return {**migrated, "version": CURRENT_VERSION}


def parse(data: Mapping[str, Any]) -> tuple[TrainConfig | None, list[Problem]]:
    """Validate plain data; return the configuration, or nothing and every problem found."""
    try:
        return TrainConfig.model_validate(migrate(data)), []
    except ConfigError as error:
        return None, error.problems
    except ValidationError as error:
        return None, [_problem(details) for details in error.errors(include_url=False)]


def set_value(data: dict[str, Any], assignment: str) -> None:
    """Apply one `section.field=value` of the command line to plain data; the value is read as TOML, else as text.

    Raises:
        UserError: There is no `=`.
    """
    path, equals, text = assignment.partition("=")
    if not equals or not path.strip():
        raise UserError("bad_assignment", value=assignment)
    *sections, name = path.strip().split(".")
    for section in sections:
        data = data.setdefault(section, {})
        if not isinstance(data, dict):
            raise UserError("bad_assignment", value=assignment)
    data[name] = presets.parse_value(text.strip())


def load(path: Path, overrides: Iterable[str] = ()) -> TrainConfig:
    """Read a TOML file, apply `a.b=c` overrides, and validate.

    Raises:
        UserError: The file is missing or not TOML.
        ConfigError: Values are refused; all of them are listed.
    """
    data = presets.read(path)
    for assignment in overrides:
        set_value(data, assignment)
    config, problems = parse(data)
    if config is None:
        raise ConfigError(problems)
    return config
