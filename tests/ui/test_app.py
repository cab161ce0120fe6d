"""Who may come in, in which language, and on which port."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from backend.config.problems import UserError
from ui import serving
from ui.app import make_app
from ui.context import Services


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATHANOR_HOME", str(home))
        return Services.create(home / "runs")


@pytest.fixture(scope="module")
def open_app(services: Services) -> TestClient:
    return TestClient(make_app(services), follow_redirects=False)


@pytest.fixture(scope="module")
def locked_app(services: Services) -> TestClient:
    app = make_app(services, login=("猫", "secret"), root_path="/athanor")
    return TestClient(app, follow_redirects=False)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("zh", "/zh-CN/"),
        ("zh-TW,zh;q=0.9", "/zh-CN/"),
        ("de-DE,de;q=0.9,en;q=0.5", "/en/"),
        ("de", "/en/"),
        ("", "/en/"),
    ],
)
def test_the_browser_chooses_the_language_at_first(open_app: TestClient, wanted: str, found: str) -> None:
    open_app.cookies.clear()
    assert open_app.get("/", headers={"accept-language": wanted}).headers["location"] == found


def test_a_chosen_language_holds_for_good(open_app: TestClient, services: Services) -> None:
    answer = open_app.get("/language/zh-CN")
    assert answer.headers["location"] == "/zh-CN/"
    assert open_app.get("/", headers={"accept-language": "en"}).headers["location"] == "/zh-CN/"
    open_app.cookies.clear()  # another browser
    assert open_app.get("/", headers={"accept-language": "en"}).headers["location"] == "/zh-CN/"
    services.settings.change(language="")


def test_an_unknown_language_is_no_open_redirect(open_app: TestClient, services: Services) -> None:
    assert open_app.get("/language/evil.example").headers["location"] == "/en/"
    open_app.cookies.clear()
    services.settings.change(language="")


@pytest.mark.parametrize("path", ["/", "/en/", "/en/config", "/language/en", "/tensorboard/", "/en/gradio_api/info"])
def test_every_address_is_behind_the_login(locked_app: TestClient, path: str) -> None:
    assert locked_app.get(path).status_code == 401
    assert locked_app.get(path, auth=("猫", "wrong")).status_code == 401
    assert locked_app.get(path, headers={"authorization": "Basic !!!"}).status_code == 401
    assert locked_app.get(path, auth=("猫", "secret")).status_code != 401


def test_addresses_stand_behind_the_proxys_path(locked_app: TestClient) -> None:
    answer = locked_app.get("/", auth=("猫", "secret"), headers={"accept-language": "en"})
    assert answer.headers["location"] == "/athanor/en/"


@pytest.mark.parametrize("name", ["settings.json", "draft.toml"])
def test_the_apps_own_files_are_not_served(open_app: TestClient, services: Services, name: str) -> None:
    services.draft.set("adapter.rank", 8)
    services.settings.change(theme="dark")
    path = services.settings.path.parent / name
    assert path.is_file()
    assert open_app.get(f"/en/gradio_api/file={path}").status_code in (403, 404)


def test_no_handler_is_offered_to_strangers(open_app: TestClient) -> None:
    assert open_app.get("/en/gradio_api/info").json()["named_endpoints"] == {}


def test_the_next_free_port_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert serving.choose_port(port, listen=False) > port


@pytest.mark.parametrize("text", ["name", ":password", "name:"])
def test_a_login_is_a_name_and_a_password(text: str) -> None:
    with pytest.raises(UserError) as caught:
        serving.read_login(text, listen=False)
    assert caught.value.problem.code == "login_invalid"


def test_nobody_is_let_in_without_a_login() -> None:
    with pytest.raises(UserError) as caught:
        serving.read_login("", listen=True)
    assert caught.value.problem.code == "login_missing"
    assert serving.read_login("me:a:b", listen=True) == ("me", "a:b")


def test_the_runs_folder_is_where_it_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATHANOR_HOME", str(tmp_path))
    assert Services.create_configured("", is_remote=False, language="").watch.runs_dir == tmp_path / "runs"
    other = tmp_path / "其他 runs"
    assert Services.create_configured(str(other), is_remote=False, language="").watch.runs_dir == other
