"""The data sets of a configuration with their rules filled in; a data set file of sd-scripts is several."""

from __future__ import annotations

from dataclasses import dataclass

from backend.config.data import DataSection
from backend.config.datasets import DatasetConfig, PictureRules
from backend.config.problems import Problem


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
    for number, config in enumerate(data.datasets):
        if config.enabled and config.path.strip():
            field = f"data.datasets[{number}]"
            datasets.append(Dataset(len(datasets), config, data.rules_of(config), field))
    return datasets, problems
