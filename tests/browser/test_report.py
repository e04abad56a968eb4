"""The report in a real browser: silent console, sorting, filtering, the sample browser, keyboard, themes, injection."""

import json
from pathlib import Path

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select
from support.chromium import DESK, PHONE, Theme, problems, select, select_all, show, shown
from support.synthetic_run import SyntheticRun, write_lines

from nep.config import load_config
from nep.report.collect import collect_run
from nep.report.page import write_report

ATTACKS = (
    "<script>document.title = 'owned'</script>",
    "</pre><img src=x onerror=\"document.title='owned'\">",
    '"><svg onload="document.title=\'owned\'">',
    "</style></script><script>document.title = 'owned'</script>",
)


BY_HOP = '[aria-label="FutureBench, With reasoning"] table'
SUMMARY = '[aria-label="All benchmarks"] table'


def first_column(browser: WebDriver, table: str) -> list[str]:
    rows = select_all(browser, f"{table} tbody tr:not(.heading):not(.fixed)")
    return [row.find_element(By.CSS_SELECTOR, "th").text for row in shown(rows)]


def overall(browser: WebDriver) -> list[float]:
    cells = select(browser, BY_HOP).find_elements(By.CSS_SELECTOR, "tbody tr:not(.fixed) td.overall .value")
    return [float(cell.text) for cell in cells]


@pytest.mark.parametrize("size", [DESK, PHONE])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_opens_from_its_file_without_a_word_in_the_console(
    browser: WebDriver, page: Path, theme: Theme, size: tuple[int, int]
) -> None:
    show(browser, page, theme, size)
    assert problems(browser) == []
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in background[4:-1].split(","))
    assert (brightness > 600) == (theme == "light")
    # Wide tables scroll inside their own frames, never the page.
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    broken = browser.execute_script("return [...document.images].filter((image) => !image.naturalWidth).length")
    assert broken == 0
    assert len(select_all(browser, "img")) == 12 * 10


def test_a_results_column_sorts_down_up_and_back(browser: WebDriver, page: Path) -> None:
    show(browser, page)
    before = overall(browser)
    table = select(browser, BY_HOP)
    head = table.find_element(By.CSS_SELECTOR, "th.overall")
    button = head.find_element(By.TAG_NAME, "button")
    button.click()
    assert (head.get_attribute("aria-sort"), overall(browser)) == ("descending", sorted(before, reverse=True))
    # Without their headings, rows name their experiment.
    assert "next_event · GRPO" in table.text
    button.click()
    assert (head.get_attribute("aria-sort"), overall(browser)) == ("ascending", sorted(before))
    button.click()
    assert (head.get_attribute("aria-sort"), overall(browser)) == (None, before)


def test_chance_and_published_figures_stay_below_the_measured_ones(browser: WebDriver, page: Path) -> None:
    show(browser, page)
    table = select(browser, BY_HOP)
    table.find_element(By.CSS_SELECTOR, "th.overall button").click()
    rows = shown(table.find_elements(By.CSS_SELECTOR, "tbody tr"))
    fixed = ["fixed" in row.get_attribute("class") for row in rows]
    assert fixed == sorted(fixed)
    assert "for reference, not measured here" in table.text


def test_durations_sort_by_seconds(browser: WebDriver, page: Path) -> None:
    show(browser, page)
    table = select(browser, '[aria-label="Cost by stage"] table')
    (button,) = [item for item in table.find_elements(By.CSS_SELECTOR, "button.sort") if item.text == "Time"]
    button.click()
    seconds = [
        float(cell.get_attribute("data-value"))
        for cell in table.find_elements(By.CSS_SELECTOR, "tbody td:nth-child(4)[data-value]")
    ]
    assert seconds == sorted(seconds, reverse=True)
    assert len(seconds) > 4


def test_sorting_needs_no_mouse(browser: WebDriver, page: Path) -> None:
    show(browser, page)
    head = select(browser, f"{BY_HOP} th.overall")
    browser.execute_script("arguments[0].focus()", head.find_element(By.XPATH, "preceding::button[1]"))
    browser.switch_to.active_element.send_keys(Keys.TAB)
    assert browser.switch_to.active_element == head.find_element(By.TAG_NAME, "button")
    outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert head.get_attribute("aria-sort") == "descending"


def test_a_long_table_is_filtered_by_text(browser: WebDriver, page: Path) -> None:
    show(browser, page)
    section = select(browser, "#comparison")
    field = section.find_element(By.CSS_SELECTOR, "input[type=search]")
    table = '[aria-label="Comparison"] table'
    before = first_column(browser, table)
    field.send_keys("Direct")
    after = first_column(browser, table)
    assert 0 < len(after) < len(before)
    assert section.find_element(By.CSS_SELECTOR, "[role=status]").text == f"{len(after)} of {len(before)}"
    field.clear()
    field.send_keys("x", Keys.BACKSPACE)
    assert first_column(browser, table) == before


def test_samples_are_filtered_by_the_answers_of_two_models(browser: WebDriver, page: Path) -> None:
    show(browser, page)
    cards = select_all(browser, ".example")
    assert len(shown(cards)) == 12
    models = Select(select(browser, "select[name=first]"))
    assert models.first_selected_option.text == "next_event · SFT"
    assert Select(select(browser, "select[name=second]")).first_selected_option.text == "next_event · GRPO"
    Select(select(browser, "select[name=first_verdict]")).select_by_visible_text("wrong")
    Select(select(browser, "select[name=second_verdict]")).select_by_visible_text("right")
    places = [place for place, option in enumerate(models.options) if "next_event" in option.text]
    found = shown(cards)
    assert 0 < len(found) < 12
    for card in cards:
        verdicts = card.get_attribute("data-verdicts").split()
        assert ([verdicts[place] for place in places] == ["wrong", "right"]) == (card in found)
    assert select(browser, "form.browser [role=status]").text == f"{len(found)} of 12 samples"
    select(browser, "form.browser button[type=reset]").click()
    assert len(shown(cards)) == 12


def test_samples_are_searched_and_an_empty_result_says_so(browser: WebDriver, page: Path) -> None:
    show(browser, page)
    field = select(browser, "form.browser input")
    cards = select_all(browser, ".example")
    name = cards[3].find_element(By.CSS_SELECTOR, ".meta code").text
    field.send_keys(name.upper())
    assert shown(cards) == [cards[3]]
    field.send_keys("nothing like this")
    assert shown(cards) == []
    assert select(browser, "#examples .none").is_displayed()


def test_without_scripts_every_row_and_sample_is_shown(browser: WebDriver, page: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        show(browser, page)
        assert len(select_all(browser, ".example")) == 12
        assert select_all(browser, "button.sort") == []
        assert select(browser, "form.browser").get_attribute("hidden") is not None
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_on_paper_controls_are_left_out_and_nothing_scrolls(browser: WebDriver, page: Path) -> None:
    show(browser, page)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert shown(select_all(browser, "nav, form.browser, p.filter")) == []
    assert len(shown(select_all(browser, ".example"))) == 12


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_of_models_and_data_stays_text(browser: WebDriver, tmp_path: Path, attack: str) -> None:
    synthetic = SyntheticRun(videos=2, completion=attack)
    root = synthetic.write(tmp_path)
    questions = [json.loads(line) for line in (root / "convert/futurebench.jsonl").read_text().splitlines()]
    for question in questions:
        question |= {"question": attack, "record": {"caption_part2": attack, "source": attack}}
        question["options"] = dict.fromkeys(question["options"], attack)
    write_lines(root / "convert" / "futurebench.jsonl", questions)
    rejected = [{"id": attack, "stage": attack, "reason": attack, "detail": attack}] * 9
    write_lines(root / "records" / "rejected.jsonl", rejected)
    write_report(collect_run(root, load_config(synthetic.config)), root / "report")
    show(browser, root / "report" / "index.html")
    select(browser, "form.browser input").send_keys(attack[:9])
    assert browser.title == "Next-event prediction"
    assert problems(browser) == []
    assert len(select_all(browser, "script")) == 1
    assert attack in select_all(browser, ".question")[0].text
    assert shown(select_all(browser, ".example"))


def test_the_policy_stops_a_script_that_is_not_the_pages_own(browser: WebDriver, page: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.html"
    html = page.read_text(encoding="utf-8")
    changed.write_text(html.replace("</main>", "<script>document.title = 'owned'</script></main>"), encoding="utf-8")
    show(browser, changed)
    assert browser.title == "Next-event prediction"
    assert any("Content Security Policy" in message for message in problems(browser))
