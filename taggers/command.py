"""The command line: every parameter of the schema is an option."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from backend import console
from backend.config import paths
from backend.config.base import Parameter
from backend.config.messages import languages, system_language, translate
from backend.config.problems import ConfigError, UserError, render
from backend.config.reference import help_text
from backend.runs.layout import find_run
from backend.runs.queue import start_run
from taggers import models
from taggers.config import TaggingConfig, parameters, parse
from taggers.files import Progress
from taggers.launching import check, new_run
from taggers.tagging import Listener, Task, preview_row, tag

FAILED, REFUSED, INTERRUPTED = 1, 2, 130
MEGABYTE = 1_000_000
TYPES: dict[str, Any] = {"int": int, "float": float, "str": str}


def main(arguments: Sequence[str]) -> int:
    """Run the command line: 0 when finished or stopped, 1 when failed, 2 when refused."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console that lacks a character must not end a run
    language = _language(arguments)
    options = vars(parser(language).parse_args(arguments))
    runs_dir, language = options.pop("runs_dir"), options.pop("lang") or language
    resumed = options.pop("resume")
    options["folders"] = options.pop("folder") + options.get("folders", [])
    try:
        if resumed:
            run = find_run(resumed, paths.runs_dir(runs_dir))
        else:
            config = parse(options)
            if config.dry_run:
                return _preview(config, language)
            run = new_run(config, paths.runs_dir(runs_dir))
        offset = run.events_path.stat().st_size if run.events_path.exists() else 0
        start_run(run, resume=bool(resumed))
    except UserError as error:
        for problem in error.problems if isinstance(error, ConfigError) else [error.problem]:
            print(render(problem, language), file=sys.stderr)
            if problem.code == "tagging_folders_empty":
                print(translate("cli.tagging.folder_first", language), file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:  # a preview: nothing was written
        return INTERRUPTED
    print(translate("cli.tagging.started", language, path=run.path), flush=True)
    return 0 if console.follow(run, language, offset=offset) else FAILED


def _language(arguments: Sequence[str]) -> str:
    """Return the language of the help, which is written while the options are read."""
    before = next((second for first, second in zip(arguments, arguments[1:], strict=False) if first == "--lang"), "")
    return before if before in languages() else system_language()


def parser(language: str) -> argparse.ArgumentParser:
    """Return the parser of all options, with their help in a language."""
    made = argparse.ArgumentParser(
        prog="python -m taggers",
        description=translate("cli.tagging.description", language),
        epilog=translate("cli.tagging.models", language, names=", ".join(models.MODELS)),
        argument_default=argparse.SUPPRESS,
    )
    made.add_argument("folder", nargs="*", default=[], help=translate("cli.tagging.folder", language))
    made.add_argument("--resume", default="", metavar="RUN", help=translate("cli.tagging.resume", language))
    made.add_argument("--runs-dir", default="", help=translate("cli.tagging.runs_dir", language))
    made.add_argument("--lang", default="", choices=languages(), help=translate("cli.tagging.lang", language))
    for item in parameters():
        _add(made, item, language)
    return made


def _add(made: argparse.ArgumentParser, item: Parameter, language: str) -> None:
    flag = f"--{item.name.replace('_', '-')}"
    default = translate("cli.tagging.default", language, value=_shown(item)) if item.default not in ("", []) else ""
    text = " ".join(part for part in (help_text(item, language), default) if part).replace("%", "%%")
    if item.kind == "bool":
        made.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
    elif item.kind == "strings":
        made.add_argument(flag, nargs="+", metavar="TEXT", help=text)
    elif item.kind == "choice":
        made.add_argument(flag, choices=item.choices, help=text)
    else:
        made.add_argument(flag, type=TYPES[item.kind], metavar=item.kind.upper(), help=text)


def _shown(item: Parameter) -> str:
    """Return a default as it is typed."""
    if item.kind == "bool":
        return f"--{'' if item.default else 'no-'}{item.name.replace('_', '-')}"
    return str(item.default)


def _downloading(language: str) -> Progress:
    """Return what tells how a download goes: a line now and then, and one at its end."""
    told_at = 0.0

    def tell(file: str, done: int, total: int) -> None:
        nonlocal told_at
        if done == total or time.monotonic() - told_at >= console.LINE_SECONDS:
            told_at = time.monotonic()
            megabytes = {"done": done // MEGABYTE, "total": max(total, done) // MEGABYTE}
            print(translate("cli.tagging.downloading", language, file=file, **megabytes), flush=True)

    return tell


def _preview(config: TaggingConfig, language: str) -> int:
    """Tag some pictures and print what would be written."""
    from taggers.kinds import get, load

    check(config)
    if config.gpu_ids:  # a run is started with it
        os.environ["CUDA_VISIBLE_DEVICES"] = config.gpu_ids
    files = get(config.model, _downloading(language))
    print(translate("cli.phase.loading", language), flush=True)
    tagger = load(files, config)
    task = Task(config, "", kind=files.model.kind)

    def show(row: dict[str, str]) -> None:
        print(f"{row['name']}\n  - {row['before']}\n  + {row['after']}", flush=True)

    def warn(problem: Any) -> None:
        print(render(problem, language), file=sys.stderr)

    tag(task, tagger, Listener(found=lambda written: show(preview_row(written)), warn=warn))
    print(translate("cli.tagging.dry_run", language, num=task.counts.written))
    return 0
