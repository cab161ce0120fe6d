"""Start the app on this machine and open it in the browser. See --help."""

from __future__ import annotations

import argparse
import sys

from backend.config.messages import languages, system_language, translate
from backend.config.problems import UserError
from backend.runs.caretaker import Caretaker
from backend.runs.locks import AppLock
from ui.app import make_app
from ui.context import Services
from ui.serving import address, choose_port, open_browser, read_login, serve


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="gui.py", description=__doc__)
    parser.add_argument("--port", type=int, default=7861, help="the first port to try (7861)")
    parser.add_argument("--listen", action="store_true", help="let other computers of the network in; needs --login")
    parser.add_argument("--login", default="", help="NAME:PASSWORD, or ATHANOR_LOGIN")
    parser.add_argument("--root-path", default="", help="the path that a reverse proxy puts in front, e.g. /athanor")
    parser.add_argument("--runs-dir", default="", help="where runs are kept")
    parser.add_argument("--lang", default="", choices=["", *languages()], help="language of the app")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser tab")
    return parser.parse_args()


def main() -> int:
    """Serve until ended by Ctrl+C."""
    options, language = arguments(), system_language()
    try:
        login = read_login(options.login, listen=options.listen)
        services = Services.create_configured(options.runs_dir, is_remote=options.listen, language=options.lang)
        port = choose_port(options.port, listen=options.listen)
        url = address(port, options.root_path)
        lock = AppLock(services.watch.runs_dir)
        lock.acquire(url=url)
    except UserError as error:
        print(error.problem.text(language), file=sys.stderr)
        return 1
    if port != options.port:
        print(translate("gui.port_taken", language, value=options.port, port=port))
    print(translate("gui.open", language, url=url), flush=True)
    if not options.no_browser:
        open_browser(url)
    app = make_app(services, login=login, root_path=(root_path := options.root_path.rstrip("/")))
    with Caretaker(services.queue):
        serve(app, port, root_path, listen=options.listen)
    services.tensorboard.stop()
    if num := services.desks.num_pending():
        print(translate("gui.saving", language, num=num), flush=True)
    services.desks.close_all()
    lock.release()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
