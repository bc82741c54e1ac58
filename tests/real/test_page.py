"""The report's page in a real browser: that it loads nothing, finds, filters, sorts and opens, and lets nothing run."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

import miniatures
from harness import report

pytestmark = pytest.mark.browser

HOSTILE = "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
TYPES = ("bert", "gpt2", "llama", "vit")


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium with its chromedriver here: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    for word in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1300,900",
    ):  # fmt: skip
        options.add_argument(word)
    with webdriver.Chrome(options, webdriver.ChromeService(driver)) as one:
        yield one


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of four types: one failed with hostile words everywhere, and the slowest of those that passed is vit."""
    folder = tmp_path_factory.mktemp("page")
    plan = miniatures.plan(TYPES)
    failure = miniatures.failure(message=HOSTILE, traceback=HOSTILE, log=f"{HOSTILE}\x1b[31m\x00", signature=HOSTILE)
    slow = miniatures.cell("vit")
    assert slow.metrics.latency
    slower = slow.metrics.model_copy(update={"latency": slow.metrics.latency.model_copy(update={"p50": 3.0})})
    miniatures.write_whole(
        folder / "results",
        plan,
        miniatures.cell("gpt2", "pipeline", "failed", reason=HOSTILE, failure=failure),
        slow.model_copy(update={"metrics": slower, "domain": "vision"}),
    )
    report.build(folder / "results", folder / "report", plan=plan, configuration=miniatures.configuration())
    return folder / "report" / "index.html"


@pytest.fixture
def opened(browser: webdriver.Chrome, page: Path) -> webdriver.Chrome:
    browser.get("about:blank")
    log(browser, "performance")  # emptied: what comes after it is of this page
    browser.get(page.as_uri())
    return browser


def log(browser: Any, kind: str) -> list[dict[str, Any]]:
    """What the browser has noted since it was last asked."""
    noted: list[dict[str, Any]] = browser.get_log(kind)
    return noted


def shown(browser: webdriver.Chrome) -> list[str]:
    rows = browser.find_elements(By.CSS_SELECTOR, ".matrix tbody tr")
    return [str(row.get_attribute("data-name")) for row in rows if row.is_displayed()]


def choose(browser: webdriver.Chrome, field: str, value: str) -> None:
    Select(browser.find_element(By.ID, field)).select_by_value(value)


def heading(browser: webdriver.Chrome, key: str) -> WebElement:
    return browser.find_element(By.CSS_SELECTOR, f".matrix th[data-key='{key}'] button")


def test_the_page_asks_for_nothing_but_itself(opened: webdriver.Chrome, page: Path) -> None:
    events = [json.loads(entry["message"])["message"] for entry in log(opened, "performance")]
    asked = {one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"}
    assert asked == {page.as_uri()}


def test_hostile_words_are_shown_and_do_not_run(opened: webdriver.Chrome) -> None:
    opened.find_element(By.CSS_SELECTOR, "a.cell.o-failed").click()
    dialog = opened.find_element(By.ID, "detail")
    assert HOSTILE in dialog.text
    assert opened.title.startswith("Model matrix")
    assert not opened.find_elements(By.CSS_SELECTOR, "img")


def test_the_search_leaves_the_types_that_it_names(opened: webdriver.Chrome) -> None:
    assert shown(opened) == list(TYPES)
    opened.find_element(By.TAG_NAME, "body").send_keys("/")
    opened.switch_to.active_element.send_keys("LLA")
    assert shown(opened) == ["llama"]
    assert opened.find_element(By.ID, "count").text == "2 cells in 1 of 4 types"


def test_filters_leave_what_fits_all_of_them(opened: webdriver.Chrome) -> None:
    choose(opened, "outcome", "failed")
    assert shown(opened) == ["gpt2"]
    choose(opened, "domain", "vision")
    assert shown(opened) == []
    opened.find_element(By.CSS_SELECTOR, "#filters button[type='reset']").click()
    WebDriverWait(opened, 5).until(shown)  # the page applies it after the event
    assert shown(opened) == list(TYPES)


def test_a_column_sorts_by_what_passed_and_then_by_its_time(opened: webdriver.Chrome) -> None:
    heading(opened, "0").click()
    assert shown(opened)[-1] == "vit"
    heading(opened, "0").click()
    assert shown(opened)[0] == "vit"


def test_a_cell_opens_to_figures_proof_and_the_line_that_runs_it_again(opened: webdriver.Chrome) -> None:
    opened.find_element(By.CSS_SELECTOR, "tr[data-name='bert'] a.cell").send_keys(Keys.ENTER)
    text = opened.find_element(By.ID, "detail").text
    for word in ("ci/nox -s cpu -- --types bert --stack current", "2 ms", "BertForMaskedLM", "a" * 64, "input_ids"):
        assert word in text
    assert opened.current_url.endswith("#bert/cpu/current/from_pretrained")
    opened.switch_to.active_element.send_keys(Keys.ESCAPE)
    assert not opened.find_element(By.ID, "detail").is_displayed()


def test_a_cells_address_opens_it(browser: webdriver.Chrome, page: Path) -> None:
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#gpt2/cpu/current/pipeline")
    assert browser.find_element(By.ID, "detail").is_displayed()


def test_the_note_on_synthetic_weights_stands_on_the_page_and_in_a_cell(opened: webdriver.Chrome) -> None:
    assert "tiny, synthetic weights" in opened.find_element(By.CSS_SELECTOR, ".note").text
    opened.find_element(By.CSS_SELECTOR, "tr[data-name='bert'] a.cell").click()
    assert "tiny, synthetic weights" in opened.find_element(By.ID, "detail").text


def test_nothing_is_said_in_the_browsers_console(opened: webdriver.Chrome) -> None:
    assert log(opened, "browser") == []
