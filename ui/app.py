"""The app: one page frame for each language, our own routes, and who may see them."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Awaitable, Callable
from functools import partial

import gradio as gr
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, RedirectResponse

from backend.config import paths
from backend.config.messages import languages, translate
from ui import captions_pictures, machine, picker, pictures, proxy, reference, run_files
from ui.context import AppContext, Services
from ui.folders import Roots
from ui.job_pill import pill_html, running_job
from ui.markup import STATIC_DIR, render, script
from ui.pages import captions, data, expert, quick, runs, settings, tensorboard
from ui.theme import make_theme

PAGES = ("train", "data", "captions", "runs", "tensorboard", "settings")
STYLES = ("shell", "runs", "expert", "data", "captions", "captions_tools", "captions_search", "access")
FAVICON = STATIC_DIR / "favicon.svg"
COOKIE = "athanor-language"
YEAR = 365 * 24 * 3600
QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
CallNext = Callable[[Request], Awaitable[Response]]


def bar_html(services: Services, language: str) -> str:
    """Return the top bar: the running job, the machine, the other languages."""
    job = running_job(services.watch, num_waiting=len(services.queue.runs()))
    others = [(code, translate("language.name", code)) for code in languages() if code != language]
    return render(
        "bar.html",
        language,
        pill=pill_html(job, language),
        machine=machine.find().text(language),
        languages=others,
    )


def refreshed_bar(context: AppContext, shown: str) -> object:
    """Return the top bar when it differs from what is shown."""
    fresh = bar_html(context.services, context.language)
    return gr.skip() if fresh == shown else fresh


def build(services: Services, language: str) -> gr.Blocks:
    """Build the whole interface in one language."""
    with gr.Blocks(title="Athanor", analytics_enabled=False, fill_width=True) as blocks:
        context = AppContext(services=services, language=language, blocks=blocks)
        frame = {"pages": PAGES, "theme": services.settings.get().theme}
        bar = gr.HTML(bar_html(services, language), elem_id="bar", elem_classes="flush")
        gr.HTML(render("keys.html", language), elem_id="keys", elem_classes="flush")
        with gr.Row(elem_id="shell"):
            with gr.Column(elem_id="rail", scale=0, min_width=58):
                gr.HTML(render("rail.html", language), elem_classes="flush")
            with gr.Column(elem_id="pages"):
                _pages(context)
        picker.build(language, lambda: Roots())
        scripts = script("keyboard.js") + script("shell.js")
        gr.HTML(frame, html_template="<span hidden></span>", js_on_load=scripts, elem_id="shell-script")
        gr.Timer(2).tick(partial(refreshed_bar, context), bar, bar, **QUIET)
    return blocks


def _pages(context: AppContext) -> None:
    with gr.Column(elem_id="page-train", elem_classes="athanor-page"):
        gr.HTML(render("view_switch.html", context.language), elem_classes="flush")
        with gr.Column(elem_id="view-quick", elem_classes="athanor-page"):
            quick.build(context)
        with gr.Column(elem_id="view-expert", elem_classes="athanor-page"):
            expert.build(context)
    pages = {"data": data, "captions": captions, "runs": runs, "tensorboard": tensorboard, "settings": settings}
    for name, page in pages.items():
        with gr.Column(elem_id=f"page-{name}", elem_classes="athanor-page"):
            page.build(context)


def preferred_language(request: Request, configured: str) -> str:
    """Return the language to open in: the browser's cookie, the setting, what the browser asks for, English."""
    for wanted in (request.cookies.get(COOKIE, ""), configured):
        if wanted in languages():
            return wanted
    for part in request.headers.get("accept-language", "").split(","):
        code = part.split(";")[0].strip().lower()
        for language in languages():
            if code and (code == language.lower() or code.split("-")[0] == language.lower().split("-")[0]):
                return language
    return languages()[0]


def _authorised(header: str, user: str, password: str) -> bool:
    kind, _, encoded = header.partition(" ")
    try:
        given = base64.b64decode(encoded).decode("utf-8") if kind.lower() == "basic" else ""
    except ValueError:
        return False
    return secrets.compare_digest(given.encode(), f"{user}:{password}".encode())


def _add_login(app: FastAPI, user: str, password: str) -> None:
    @app.middleware("http")
    async def login(request: Request, call_next: CallNext) -> Response:
        if _authorised(request.headers.get("authorization", ""), user, password):
            return await call_next(request)
        return Response(status_code=401, headers={"WWW-Authenticate": 'Basic realm="Athanor", charset="UTF-8"'})


def _add_languages(app: FastAPI, services: Services) -> None:
    @app.get("/")
    async def home(request: Request) -> RedirectResponse:
        language = preferred_language(request, services.settings.get().language)
        return RedirectResponse(f"{request.scope.get('root_path', '')}/{language}/")

    @app.get("/favicon.ico")
    def favicon() -> FileResponse:
        return FileResponse(FAVICON, media_type="image/svg+xml")

    @app.get("/language/{language}")
    async def choose_language(request: Request, language: str) -> RedirectResponse:
        known = language if language in languages() else languages()[0]
        services.settings.change(language=known)
        response = RedirectResponse(f"{request.scope.get('root_path', '')}/{known}/")
        response.set_cookie(COOKIE, known, max_age=YEAR, samesite="lax")
        return response


def make_app(services: Services, *, login: tuple[str, str] | None = None, root_path: str = "") -> FastAPI:
    """Return the web application.

    Args:
        services: What all pages share.
        login: User name and password that every request must bring.
        root_path: The path that a reverse proxy puts in front, such as "/athanor".
    """
    app = FastAPI(title="Athanor", docs_url=None, redoc_url=None, openapi_url=None, root_path=root_path)
    if login is not None:
        _add_login(app, *login)
    _add_languages(app, services)
    app.include_router(run_files.router(lambda: services.watch.runs_dir, _allowed))
    app.include_router(pictures.router(services.finder.scan_of, services.thumbnails, _allowed))
    desks = services.desks
    app.include_router(captions_pictures.router({"pictures": desks.picture, "masks": desks.mask}, _allowed))
    app.include_router(reference.router())
    app.include_router(proxy.router(lambda: _tensorboard_address(services), _allowed))
    css = [STATIC_DIR / f"{name}.css" for name in STYLES]
    for language in languages():
        gr.mount_gradio_app(
            app,
            build(services, language),
            path=f"/{language}",
            footer_links=[],
            root_path=f"{root_path}/{language}" if root_path else None,
            blocked_paths=[str(services.settings.path), str(paths.home())],
            theme=make_theme(),
            css_paths=css,
            mcp_server=False,
            enable_monitoring=False,
        )
    return app


def _tensorboard_address(services: Services) -> str | None:
    port = services.tensorboard.port
    return f"http://127.0.0.1:{port}/tensorboard" if port else None


def _allowed(_request: Request) -> bool:
    """Tell that a request may pass: the login stands in front of every route."""
    return True
