"""The data sets of a configuration with their rules filled in; a data set file of sd-scripts is several."""

from __future__ import annotations

from dataclasses import dataclass, replace

from backend.config.data import DataSection
from backend.config.datasets import DatasetConfig, PictureRules
from backend.config.problems import Problem, UserError
from backend.data.sd_scripts import expand, is_dataset_file


@dataclass(frozen=True, slots=True)
class Dataset:
    """One data set. `index` counts those of a scan; `field` is the row of the configuration that it comes from."""

    index: int
    config: DatasetConfig
    rules: PictureRules
    field: str

    @property
    def title(self) -> str:
        """How reports call it."""
        return self.config.name or self.config.path.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]


def resolve(data: DataSection) -> tuple[list[Dataset], list[Problem]]:
    """Return the data sets that are in use and name a source, in order, and what is wrong with them."""
    datasets: list[Dataset] = []
    problems: list[Problem] = []
    for number, row in enumerate(data.datasets):
        if not row.enabled or not row.path.strip():
            continue
        field = f"data.datasets[{number}]"
        configs, wrong = _expanded(row, field)
        problems += wrong
        for config in configs:
            datasets.append(Dataset(len(datasets), config, data.rules_of(config), field))
    return datasets, problems


def written_out(data: DataSection) -> DataSection:
    """Return the same data sets with those of sd-scripts' files as rows: a run does not hang on a file that may change.

    A file that cannot be read stays as it is, for the run to say so.
    """
    rows: list[DatasetConfig] = []
    for number, row in enumerate(data.datasets):
        configs, problems = _expanded(row, f"data.datasets[{number}]") if row.enabled else ([row], [])
        rows += [row] if any(problem.level == "error" for problem in problems) else configs
    return data.model_copy(update={"datasets": rows})


def _expanded(row: DatasetConfig, field: str) -> tuple[list[DatasetConfig], list[Problem]]:
    if not is_dataset_file(row):
        return [row], []
    try:
        return expand(row, field)
    except UserError as error:
        return [], [replace(error.problem, path=f"{field}.path")]
