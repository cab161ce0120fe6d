"""How the caption page's script is answered: errors in words, and never about rows of another time."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol, TypeVar

from backend.config.problems import UserError
from backend.editing.library import Renumbered
from ui.captions_desk import Desk, Desks
from ui.context import AppContext

Data = dict[str, Any]


class Asked(Protocol):
    """What a request is put to: it knows the language and the open folders."""

    context: AppContext
    desks: Desks


Page = TypeVar("Page", bound=Asked)


def answered(method: Callable[[Page, Data], Data]) -> Callable[[Page, Data], Data]:
    """Answer with `error` in words where the method raises a UserError."""

    @wraps(method)
    def call(page: Page, request: Data) -> Data:
        try:
            return sendable(method(page, request))
        except UserError as error:
            return sendable({"error": error.problem.text(page.context.language)})

    return call


def sendable(value: Any) -> Any:
    """Return an answer as it can be sent: names of files that are not UTF-8 with ? where nobody can read them."""
    match value:
        case str():
            return value if value.isascii() else value.encode("utf-8", "replace").decode()
        case dict():
            return {sendable(key): sendable(each) for key, each in value.items()}
        case list():
            return [sendable(each) for each in value]
        case tuple():
            return tuple(map(sendable, value))
    return value


def at_desk(method: Callable[[Page, Desk, Data], Data]) -> Callable[[Page, Data], Data]:
    """Hand the method the open folder; `renumbered` is the answer where the page's rows are those of another time."""

    @wraps(method)
    def call(page: Page, request: Data) -> Data:
        desk = page.desks.get(str(request["folder"]))
        generation = int(request.get("generation", desk.generation))
        try:
            with desk.library.at(generation - desk.first_generation):
                try:
                    return method(page, desk, request)
                except (IndexError, ValueError) as error:
                    if not isinstance(error, UserError):  # so end questions about rows that are being numbered anew
                        desk.library.check_generation()
                    raise
        except Renumbered:
            return {"renumbered": True}

    return answered(call)
