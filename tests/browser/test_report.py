"""The report in a real browser: silent console, sorting, filtering, the sample browser, keyboard, themes, injection."""

import json
from pathlib import Path

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select
from support.chromium import DESK, PHONE, Theme, problems, select, select_all, show, shown
from support.synthetic_run import SyntheticRun, write_lines

from nep.config.whole import load_config
from nep.report.collect import collect_run
from nep.report.page import write_report
from nep.rows.quarantine import Reason

# A4 at 96 dots an inch, without margins of 1 cm.
PAPER = (718, 1047)
# "%PDF" in base 64.
PDF = "JVBER"
OTHERS = ["SeedBench-R1, level 1", "MVBench", "TemporalBench", "zz_new"]
# Which control has the focus, and whether that can be seen.
FOCUSED = """
const element = document.activeElement, style = getComputedStyle(element), box = element.getBoundingClientRect();
const seen = style.outlineStyle !== "none" && box.bottom > 0 && box.top < innerHeight;
return [controls.indexOf(element), seen];
"""
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


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_many_benchmarks_scroll_in_their_frame_and_lead_to_their_sections(
    browser: WebDriver, wide_page: Path, size: tuple[int, int]
) -> None:
    show(browser, wide_page, size=size)
    assert problems(browser) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    links = select_all(browser, f"{SUMMARY} thead a")
    assert [link.text for link in links] == ["FutureBench", *OTHERS]
    sections = [select(browser, link.get_attribute("href").partition("#")[2].join(("#", ""))) for link in links]
    assert [section.find_element(By.TAG_NAME, "h3").text for section in sections] == [link.text for link in links]
    links[0].click()
    # The bar of sections stays above what was asked for.
    bottom = browser.execute_script("return document.querySelector('nav').getBoundingClientRect().bottom")
    top = browser.execute_script("return arguments[0].getBoundingClientRect().top", sections[0])
    assert max(0, bottom) <= top < size[1] / 2


@pytest.mark.parametrize("which", ["page", "wide_page"])
def test_on_a_desk_only_the_table_over_all_benchmarks_may_scroll(
    browser: WebDriver, request: pytest.FixtureRequest, which: str
) -> None:
    show(browser, request.getfixturevalue(which))
    scrolled = browser.execute_script(
        "return [...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth)"
        ".map((box) => box.ariaLabel)"
    )
    assert set(scrolled) <= {"All benchmarks"}


def test_a_column_below_the_name_of_its_benchmark_sorts(browser: WebDriver, wide_page: Path) -> None:
    show(browser, wide_page)
    table = select(browser, SUMMARY)
    assert table.find_elements(By.CSS_SELECTOR, "tr.names button") == []
    heads = table.find_elements(By.CSS_SELECTOR, "thead tr:last-child th")
    (place,) = [place for place, head in enumerate(heads) if head.text.startswith("Published")]
    heads[place + 1].find_element(By.TAG_NAME, "button").click()
    assert heads[place + 1].get_attribute("aria-sort") == "descending"
    rows = shown(table.find_elements(By.CSS_SELECTOR, "tbody tr"))
    figures = [row.find_elements(By.CSS_SELECTOR, "th, td")[place + 1].text.split("\n")[0] for row in rows]
    figures = [float(figure.rstrip("*")) for figure in figures]
    assert figures == sorted(figures, reverse=True)
    assert len(figures) == 5


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


def test_every_control_is_reached_by_the_keyboard_in_order_and_seen_there(browser: WebDriver, page: Path) -> None:
    show(browser, page)
    browser.execute_script(
        "window.controls = [...document.querySelectorAll('a, button, input, select, summary, [tabindex]')]"
        ".filter((element) => element.checkVisibility({visibilityProperty: true}))"
    )
    count = browser.execute_script("return controls.length")
    assert count > 80
    reached = []
    for _ in range(count):
        ActionChains(browser).send_keys(Keys.TAB).perform()
        reached.append(browser.execute_script(FOCUSED))
    assert reached == [[place, True] for place in range(count)]


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


def test_one_button_shows_where_the_second_model_gained(browser: WebDriver, page: Path) -> None:
    show(browser, page)
    cards = select_all(browser, ".example")
    button = select_all(browser, ".turns button")[0]
    label, count = button.text.rsplit(" ", 1)
    assert (label, button.get_attribute("aria-pressed")) == ("wrong → right", "false")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert len(shown(cards)) == int(count) > 0
    # An answer that cannot be read is none that is right.
    assert Select(select(browser, "select[name=first_verdict]")).first_selected_option.text == "not right"
    headings = {card.find_element(By.TAG_NAME, "h3").text for card in shown(cards)}
    assert headings == {"GRPO right where SFT was wrong"}
    # The same models the other way round.
    for side, name in (("first", "next_event · GRPO"), ("second", "next_event · SFT")):
        Select(select(browser, f"select[name={side}]")).select_by_visible_text(name)
    assert {card.find_element(By.TAG_NAME, "h3").text for card in shown(cards)} <= {"SFT right, GRPO wrong"}
    button.click()
    assert len(shown(cards)) == 12
    counts = [int(item.text.rsplit(" ", 1)[1]) for item in select_all(browser, ".turns button")]
    assert sum(counts) == 12


def test_samples_of_one_benchmark(browser: WebDriver, wide_page: Path) -> None:
    show(browser, wide_page)
    cards = select_all(browser, ".example")
    Select(select(browser, "select[name=task]")).select_by_visible_text("TemporalBench")
    assert 0 < len(shown(cards)) < len(cards)
    assert all("TemporalBench" in card.text for card in shown(cards))
    Select(select(browser, "select[name=second_verdict]")).select_by_visible_text("failed")
    assert all("OutOfMemoryError" in card.text for card in shown(cards))


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


@pytest.mark.parametrize("which", ["page", "wide_page"])
def test_on_paper_controls_are_left_out_and_nothing_is_cut_off(
    browser: WebDriver, request: pytest.FixtureRequest, which: str
) -> None:
    show(browser, request.getfixturevalue(which), size=PAPER)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert shown(select_all(browser, "nav, form.browser, p.filter")) == []
    cards = select_all(browser, ".example")
    assert len(shown(cards)) == len(cards) > 0
    assert browser.execute_script("return document.documentElement.scrollWidth") <= PAPER[0]
    # What a reader of the paper cannot open is open.
    assert browser.execute_script("return document.querySelector('.changes').getBoundingClientRect().height") > 100
    assert browser.execute_cdp_cmd("Page.printToPDF", {})["data"].startswith(PDF)


@pytest.mark.parametrize("attack", ATTACKS)
def test_text_of_models_and_data_stays_text(browser: WebDriver, tmp_path: Path, attack: str) -> None:
    synthetic = SyntheticRun(videos=2, completion=attack)
    root = synthetic.write(tmp_path)
    questions = [json.loads(line) for line in (root / "convert/futurebench.jsonl").read_text().splitlines()]
    for question in questions:
        question |= {"question": attack, "record": {"caption_part2": attack, "source": attack}}
        question["options"] = dict.fromkeys(question["options"], attack)
    write_lines(root / "convert" / "futurebench.jsonl", questions)
    rejected = [{"id": attack, "stage": attack, "reason": Reason.BAD_RECORD, "detail": attack}] * 9
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
