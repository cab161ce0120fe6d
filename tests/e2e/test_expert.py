"""The Expert page in a real browser: every field of the schema, conditions, search, problems, TOML, language, theme."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from live_app import App
from playwright.sync_api import Page, expect

from backend.config.root import parameters
from ui.form import element_id

OpenPage = Callable[..., Page]
KeepPicture = Callable[[Page, str], None]


@pytest.fixture
def page(app: App, open_page: OpenPage) -> Page:
    opened = open_page(f"{app.url}/en/#train/expert")
    opened.wait_for_selector("#model-base_model")
    opened.locator("#expert-reset").click()
    expect(opened.locator('#expert [data-part="message"]')).not_to_be_empty()  # the answer is there
    expect(opened.locator("#expert-toml")).not_to_have_value(re.compile("learning_rate"))
    return opened


def fill(page: Page, field: str, text: str) -> None:
    box = page.locator(f"#{field}-input")
    box.fill(text)
    box.press("Tab")


def test_every_parameter_of_the_schema_has_a_field_with_label_and_help(page: Page) -> None:
    for item in parameters():
        node = page.locator(f'[id="{element_id(item.path)}"]')
        assert node.count() == 1, item.path
        assert node.locator("label").first.text_content() or item.kind in ("datasets", "prompts")
        assert node.locator(".field-help").text_content()


def test_fields_follow_conditions_at_once(page: Page) -> None:
    page.locator('.expert-sections [data-section="optimizer"]').click()
    page.locator("#expert-tier").select_option("advanced")
    expect(page.locator("#optimizer-d_coef")).to_be_hidden()
    page.locator("#optimizer-kind-input").select_option("prodigy")
    expect(page.locator("#optimizer-d_coef")).to_be_visible()
    page.locator("#optimizer-kind-input").select_option("adafactor")
    expect(page.locator("#optimizer-d_coef")).to_be_hidden()
    expect(page.locator("#optimizer-beta1")).to_be_hidden()


def test_search_finds_other_trainers_names_and_says_why_a_field_is_not_there(page: Page) -> None:
    page.locator("#expert-search").fill("network_dim")
    expect(page.locator("#adapter-rank")).to_be_visible()
    expect(page.locator(".field:visible")).to_have_count(1)
    page.locator("#expert-search").fill("prodigy_d_coef")
    expect(page.locator(".not-here li")).to_contain_text("Prodigy strength")
    expect(page.locator(".not-here li")).to_contain_text("Optimizer")


def test_a_field_leads_to_its_entry_in_the_reference(page: Page) -> None:
    page.locator("#model-base_model .field-help-button").click()
    help_panel = page.locator('[role=tabpanel][data-panel="help"]')
    expect(help_panel).to_contain_text("pretrained_model_name_or_path")
    with page.expect_popup() as opened:
        help_panel.get_by_role("link").click()
    expect(opened.value.locator("#model-base_model")).to_have_count(1)
    expect(opened.value.locator("body")).to_contain_text("The model to start from")


def test_numbers_are_read_as_people_type_them_and_refused_in_words(page: Page) -> None:
    page.locator('.expert-sections [data-section="optimizer"]').click()
    fill(page, "optimizer-learning_rate", "2e-4")
    expect(page.locator("#expert-toml")).to_have_value(re.compile(r"learning_rate = 0\.0002"))
    fill(page, "optimizer-learning_rate", "fast")
    expect(page.locator("#optimizer-learning_rate .field-error")).to_contain_text("fast")
    fill(page, "optimizer-learning_rate", "5%")
    expect(page.locator("#expert-toml")).to_have_value(re.compile(r"learning_rate = 0\.05"))
    page.locator("#optimizer-learning_rate .field-dot").click()
    expect(page.locator("#expert-toml")).not_to_have_value(re.compile("learning_rate"))


def test_problems_lead_to_their_fields_and_the_toml_goes_both_ways(page: Page) -> None:
    page.locator("#panel-tab-toml").click()
    page.locator("#expert-toml").fill("# mine\nversion = 1\n[data]\nrandom_crop = true # of an older version\n")
    page.locator("#expert-toml-apply").click()
    expect(page.locator("#expert-toml")).to_have_value(re.compile('# mine\nversion = 2[\\s\\S]*crop = "random"'))
    page.locator("#panel-tab-problems").click()
    problem = page.locator('[data-problem="data.crop"]').first
    expect(problem).to_be_visible()
    problem.click()
    expect(page.locator("#data-crop")).to_be_visible()
    expect(page.locator("#data-crop-input")).to_be_focused()
    page.locator("#data-crop-input").select_option("center")
    expect(page.locator("#expert-toml")).to_have_value(re.compile("# mine"))
    expect(page.locator("#data-crop .field-error")).to_be_hidden()


def test_a_list_of_folders_is_edited_row_by_row(page: Page) -> None:
    page.locator('.expert-sections [data-section="data"]').click()
    page.locator("#data-datasets .list-add").click()
    fill(page, "data-datasets-0-path", "/no/such/folder")
    expect(page.locator("#data-datasets .field-error")).to_contain_text("/no/such/folder")
    page.locator("#data-datasets .list-remove").click()
    expect(page.locator("#expert-toml")).not_to_have_value(re.compile("no/such"))


def test_a_data_set_has_rules_of_its_own_or_those_of_all(page: Page) -> None:
    page.locator('.expert-sections [data-section="data"]').click()
    page.locator("#expert-tier").select_option("advanced")
    toml = page.locator("#expert-toml")
    page.locator("#data-crop-input").select_option("corner")
    page.locator("#data-datasets .list-add").click()
    fill(page, "data-datasets-0-path", "/pictures")
    fill(page, "data-datasets-0-num_repeats", "10")
    rules = page.locator("#data-datasets [data-group=rules]")
    expect(rules.locator("summary b")).to_be_hidden()
    rules.locator("summary").click()
    crop = page.locator("#data-datasets-0-crop-input")
    expect(crop.locator("option").first).to_have_text(re.compile("as general: top left corner"))
    crop.select_option("center")
    page.locator("#data-datasets-0-flip_augmentation-input").select_option("false")
    fill(page, "data-datasets-0-resolutions", "512, 768")
    fill(page, "data-datasets-0-tag_dropout_rate", "10%")
    fill(page, "data-datasets-0-tag_dropout_only", "smile, hat")
    expect(rules.locator("summary b")).to_have_text("5")
    expect(toml).to_have_value(re.compile("flip_augmentation = false"))
    expect(toml).to_have_value(re.compile(r"resolutions = \[512, 768\]"))
    expect(toml).to_have_value(re.compile(r'tag_dropout_only = \["smile", "hat"\]'))
    expect(toml).to_have_value(re.compile("num_repeats = 10\n"))
    page.locator("#data-datasets-0-crop .field-dot").click()
    expect(toml).not_to_have_value(re.compile('crop = "center"'))
    expect(rules.locator("summary b")).to_have_text("4")
    expect(page.locator("#data-datasets-0-mask_dir")).to_be_hidden()
    page.locator("#data-datasets [data-group=more] summary").click()
    page.locator("#data-datasets-0-mask-input").select_option("folder")
    expect(page.locator("#data-datasets-0-mask_dir")).to_be_visible()


def test_a_rule_that_is_emptied_is_empty_and_not_the_general_one(page: Page) -> None:
    page.locator('.expert-sections [data-section="data"]').click()
    fill(page, "data-trigger_word", "zkz")
    page.locator("#data-datasets .list-add").click()
    page.locator("#data-datasets [data-group=rules] summary").click()
    own = page.locator("#data-datasets-0-trigger_word-input")
    expect(own).to_have_attribute("placeholder", re.compile("as general: zkz"))
    fill(page, "data-datasets-0-trigger_word", "cat")
    expect(page.locator("#expert-toml")).to_have_value(re.compile('trigger_word = "cat"'))
    fill(page, "data-datasets-0-trigger_word", "")
    expect(page.locator("#expert-toml")).to_have_value(re.compile('trigger_word = ""'))
    expect(own).to_have_attribute("placeholder", "empty")


def test_start_is_refused_while_something_cannot_work(page: Page, app: App) -> None:
    page.locator("#expert-start").click()
    expect(page.locator('[data-part="message"]')).to_contain_text("Solve the problems")
    assert not list(app.home.glob("runs/2*"))


def test_the_draft_survives_a_restart_of_the_app(page: Page, app: App, open_page: OpenPage) -> None:
    page.locator('.expert-sections [data-section="adapter"]').click()
    fill(page, "adapter-rank", "24")
    expect(page.locator("#expert-toml")).to_have_value(re.compile("rank = 24"))
    app.kill()
    app.start()
    again = open_page(f"{app.url}/en/#train/expert")
    expect(again.locator("#adapter-rank-input")).to_have_value("24")


@pytest.mark.parametrize("width", [1280, 1920])
@pytest.mark.parametrize("language", ["en", "zh-CN"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_pages_fit_the_window(
    app: App, open_page: OpenPage, keep_picture: KeepPicture, width: int, language: str, dark: bool
) -> None:
    page = open_page(f"{app.url}/{language}/#train/expert", width=width, dark=dark)
    for place in ("train/quick", "train/expert", "data", "runs", "tensorboard", "settings"):
        page.evaluate("place => (location.hash = place)", place)
        expect(page.locator(f"#page-{place.partition('/')[0]}")).to_be_visible()
        page.wait_for_timeout(300)
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"{place} is {overflow} px too wide"
        keep_picture(page, f"{place.replace('/', '-')}-{language}-{width}-{'dark' if dark else 'light'}")


def test_keys_reach_search_help_and_pages(page: Page) -> None:
    page.keyboard.press("Control+k")
    expect(page.locator("#expert-search")).to_be_focused()
    page.locator("#expert-search").press("Escape")
    page.locator("body").click(position={"x": 5, "y": 400})
    page.keyboard.press("?")
    expect(page.locator("#keys-dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys-dialog")).to_be_hidden()
    page.keyboard.press("Alt+4")
    expect(page.locator("#page-runs")).to_be_visible()


def test_settings_are_kept(app: App, open_page: OpenPage) -> None:
    page = open_page(f"{app.url}/en/#settings")
    page.locator("#setting-theme").select_option("dark")
    expect(page.locator("body")).to_have_class(re.compile("dark"))
    expect(page.locator("#setting-theme ~ [role=status]")).to_contain_text("Saved")
    page.locator(".settings a[data-language=zh-CN]").click()
    expect(page.locator("#page-settings")).to_contain_text("语言")
    other = open_page(f"{app.url}/", locale="en-US")  # for good: another browser of this user gets it, too
    expect(other).to_have_url(re.compile("/zh-CN/"))
