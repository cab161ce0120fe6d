"""The command line: train, check, schema, demo. Thin: all that it does is done elsewhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from backend import cache_command, checkup, console, demo
from backend.config import paths, reference
from backend.config.messages import DEFAULT_LANGUAGE, languages, system_language
from backend.config.problems import ConfigError, Problem, UserError
from backend.config.root import TrainConfig, load
from backend.launching import new_run
from backend.runs.layout import RunFolder, find_run
from backend.runs.queue import start_run

FAILED, REFUSED = 1, 2
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

File = Annotated[Path, typer.Argument(metavar="FILE.toml", help="The configuration.")]
Sets = Annotated[
    list[str], typer.Option("--set", metavar="a.b=c", help="Change one parameter; can be given several times.")
]
RunsDir = Annotated[str, typer.Option(metavar="DIR", help="Where runs are kept.")]
Language = Annotated[str, typer.Option("--lang", help="en or zh-CN; the system's language when not given.")]


def _language(language: str) -> str:
    if language and language not in languages():
        raise UserError("language_unknown", value=language, known=", ".join(languages()))
    return language or system_language()


def _load(file: Path, sets: list[str]) -> TrainConfig:
    return paths.absolute(load(paths.resolve(str(file)), sets))


def _new_run(config: TrainConfig, runs_dir: str) -> RunFolder:
    return new_run(config, paths.runs_dir(runs_dir))


def _train(run: RunFolder, language: str, *, resume: bool = False) -> int:
    """Start a run and follow it; returns the exit code."""
    offset = run.events_path.stat().st_size if run.events_path.exists() else 0
    start_run(run, resume=resume)
    checkup.announce("started", language, path=run.path)
    return 0 if console.follow(run, language, offset=offset) else FAILED


@app.command()
def train(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE.toml]", help="The configuration.")] = None,
    sets: Sets = [],  # noqa: B006
    runs_dir: RunsDir = "",
    resume: Annotated[str, typer.Option(metavar="RUN", help="Go on with a run: its folder, or the name of it.")] = "",
    language: Language = "",
) -> None:
    """Train: 0 when finished or stopped, 1 when failed, 2 when refused. Ctrl+C stops and saves."""
    language = _language(language)
    if resume:
        raise typer.Exit(_train(find_run(resume, paths.runs_dir(runs_dir)), language, resume=True))
    if file is None:
        raise typer.BadParameter("FILE.toml or --resume RUN is needed")
    config = _load(file, sets)
    if not checkup.may_run(config, language, runs_dir):
        raise typer.Exit(REFUSED)
    raise typer.Exit(_train(_new_run(config, runs_dir), language))


@app.command()
def check(
    file: File,
    sets: Sets = [],  # noqa: B006
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    look: Annotated[bool, typer.Option("--look", help="Decode every picture: damage, blur, copies.")] = False,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="Let the Python files that it names be executed, as they are now.")
    ] = False,
    language: Language = "",
) -> None:
    """Say what is wrong with a configuration and its pictures, and what it comes to: 0 when it can run, else 1."""
    language = _language(language)
    try:
        fine = checkup.check(_load(file, sets), language, as_json=as_json, look=look, trust_code=trust_code)
    except UserError as error:
        fine = False
        if as_json:
            typer.echo(json.dumps(checkup.refused_data(_problems(error), language), ensure_ascii=False, indent=2))
        else:
            checkup.tell(_problems(error), language)
    raise typer.Exit(0 if fine else 1)


@app.command()
def cache(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE.toml]", help="Whose caches are filled.")] = None,
    sets: Sets = [],  # noqa: B006
    clean: Annotated[bool, typer.Option("--clean", help="Remove what is of no use any more, instead.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --clean: only tell what would go.")] = False,
    unused_days: Annotated[
        float | None, typer.Option(metavar="DAYS", min=0, help="With --clean: also what no run used for so long.")
    ] = None,
    cache_dir: Annotated[str, typer.Option(metavar="DIR", help="With --clean: the cache folder.")] = "",
    language: Language = "",
) -> None:
    """Fill the caches without training, on all cards; or clean them."""
    language = _language(language)
    config = _load(file, sets) if file else None
    if clean:
        folder = paths.cache_dir(config.cache.dir if config else cache_dir)
        return cache_command.clean(folder, unused_days=unused_days, dry_run=dry_run, language=language)
    if config is None or file is None:
        raise UserError("cache_no_work")
    raise typer.Exit(cache_command.fill(file, config, cache_command.arguments_of(sets, language), language))


@app.command()
def schema(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="For people: the parameter reference.")] = False,
    language: Language = DEFAULT_LANGUAGE,
) -> None:
    """Print every parameter."""
    if as_json == markdown:
        raise typer.BadParameter("give either --json or --markdown")
    language = _language(language)
    typer.echo(reference.to_json(language) if as_json else reference.to_markdown(language), nl=False)


@app.command(name="demo")
def run_demo(sets: Sets = [], runs_dir: RunsDir = "", language: Language = "") -> None:  # noqa: B006
    """Train the embedded demo and say where its pictures and its LoRA are."""
    language = _language(language)
    config = _load(demo.PRESET, sets)
    if not checkup.may_run(config, language, runs_dir):
        raise typer.Exit(REFUSED)
    run = _new_run(config, runs_dir)
    code = _train(run, language)
    if code == 0:
        results = demo.results(run)
        for key, path in (
            ("samples", run.samples_dir),
            ("comparison", results.comparison),
            ("model", results.model),
        ):
            if path is not None:
                checkup.announce(f"demo_{key}", language, path=path)
    raise typer.Exit(code)


def _problems(error: UserError) -> list[Problem]:
    return error.problems if isinstance(error, ConfigError) else [error.problem]


def main() -> None:
    """Run the command line; a user's mistake is told in words and ends with code 2."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console that lacks a character must not end a training
    try:
        app()
    except UserError as error:
        checkup.tell(_problems(error), system_language())
        sys.exit(REFUSED)
