"""What can be wrong with a configuration or its files, as data that is put into words where the user reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from backend.config.messages import DEFAULT_LANGUAGE, has, translate

Level = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend. `path` is the parameter's path; the words are under the locale key `problem.<code>`."""

    level: Level
    code: str
    path: str = ""
    params: dict[str, Any] = field(default_factory=dict)

    def text(self, language: str = DEFAULT_LANGUAGE) -> str:
        """Return the problem in words: what is wrong and what to do. A `parameter` is called as in that language."""
        words = {"path": self.path, **self.params}
        label = next((key for key in _label_keys(self.path) if has(key, language)), "")
        if "parameter" in words and label:
            words["parameter"] = translate(label, language)
        return translate(f"problem.{self.code}", language, **words)


def _label_keys(path: str) -> tuple[str, ...]:
    """Return the keys of a parameter's name; a rule in a row of a list is called as the general one."""
    *_, kind, name = re.sub(r"\[\d+\]", "", f".{path}").split(".")
    return f"{kind}.{name}.label", f"data.{name}.label"


def render(problem: Problem, language: str = DEFAULT_LANGUAGE) -> str:
    """Return the problem in words, behind the path of the parameter that it is about."""
    text = problem.text(language)
    return f"{problem.path}: {text}" if problem.path else text


class UserError(ValueError):
    """A mistake that the user can mend; carries its code and values, so that it can be told in any language."""

    def __init__(self, code: str, path: str = "", **params: Any) -> None:
        self.problem = Problem("error", code, path, params)
        super().__init__(render(self.problem))


class ConfigError(UserError):
    """A configuration with one or more problems, all of them listed."""

    def __init__(self, problems: list[Problem]) -> None:
        assert problems, "a ConfigError needs a problem"
        first = problems[0]
        super().__init__(first.code, first.path, **first.params)
        self.problems = problems
        self.args = ("\n".join(render(problem) for problem in problems),)
