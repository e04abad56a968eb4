"""The review page in a real browser: keyboard only, both themes, a phone, nothing of the future before it is asked for,
texts of models as texts."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from support.chromium import DESK, PHONE, Theme, problems, select, select_all, shown, visit
from support.own_benchmark_run import MARKUP
from support.reviewing import Served, demo_question, served, write_demo_run

PATIENCE_S = 60
LOADED = "return document.getElementById('first').readyState >= 1"
FETCHED = "return performance.getEntriesByType('resource').map((entry) => entry.name)"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    questions = [
        demo_question(0),
        demo_question(1, question=f"What happens next? {MARKUP}"),
        demo_question(2, video_path="lost.mp4"),
    ]
    return write_demo_run(tmp_path_factory.mktemp("review"), questions)


@pytest.fixture
def review(run: Path, tmp_path: Path) -> Iterator[Served]:
    with served(run, tmp_path / "anna.jsonl") as found:
        yield found


def wait_for(browser: WebDriver, script: str) -> None:
    WebDriverWait(browser, PATIENCE_S).until(lambda driver: driver.execute_script(script))


def press(browser: WebDriver, *keys: str) -> None:
    ActionChains(browser).send_keys(*keys).perform()


def press_with_control(browser: WebDriver, key: str) -> None:
    ActionChains(browser).key_down(Keys.CONTROL).send_keys(key).key_up(Keys.CONTROL).perform()


def leave_by(browser: WebDriver, *keys: str, pressing: Callable[..., None] = press) -> None:
    """Press keys, the last of which leads to another page, or to this one anew, and wait for it."""
    browser.execute_script("window.isOld = true")
    pressing(browser, *keys)
    wait_for(browser, "return !window.isOld && document.readyState !== 'loading'")


def place(browser: WebDriver) -> str:
    return select(browser, "body").get_attribute("data-place")


def test_nothing_of_the_future_is_there_before_it_is_asked_for(browser: WebDriver, review: Served) -> None:
    visit(browser, review.address)
    wait_for(browser, LOADED)
    # A frame lasts longer than what the file may be longer than its frames.
    cut = review.session.questions[0].cut
    assert cut - 0.2 < browser.execute_script("return document.getElementById('first').duration") < cut + 0.1
    assert shown(select_all(browser, ".after, #second, #edit")) == []
    assert not any("second" in name for name in browser.execute_script(FETCHED))
    press(browser, "a", "r", "e")
    assert review.decisions == {}
    press(browser, Keys.ENTER)
    wait_for(browser, "return document.getElementById('second').readyState >= 1")
    assert [element.get_attribute("data-letter") for element in select_all(browser, ".options .right")] == ["B"]
    assert "lamp lights up" in select(browser, ".happens").text
    assert problems(browser) == []


def test_a_review_from_the_first_question_to_the_last_by_keyboard_alone(browser: WebDriver, review: Served) -> None:
    first, second, third = review.session.questions
    visit(browser, review.address)
    leave_by(browser, Keys.ENTER, "r")
    assert place(browser) == "2"
    assert "1 of 3 decided: 0 accepted, 1 rejected" in select(browser, "[role=status]").text
    press(browser, Keys.ENTER, "e")
    assert browser.switch_to.active_element == select(browser, "[name=question]")
    # Letters are typed, and decide nothing.
    press_with_control(browser, "a")
    press(browser, "Are there no ears?")
    leave_by(browser, Keys.ENTER, pressing=press_with_control)
    assert place(browser) == "3"
    leave_by(browser, Keys.ENTER, "a")
    assert select(browser, ".done").is_displayed()
    assert "3 of 3 decided: 2 accepted (1 edited), 1 rejected" in select(browser, "[role=status]").text
    found = review.decisions
    verdicts = {identity: decision.verdict for identity, decision in found.items()}
    assert verdicts == {first.id: "reject", second.id: "accept", third.id: "accept"}
    assert found[second.id].edited.question == "Are there no ears?"
    assert found[second.id].edited.options == second.text.options

    leave_by(browser, "p")
    assert (place(browser), select(browser, "h1").text) == ("2", "Are there no ears?")
    assert select(browser, ".state").text == "edited"
    leave_by(browser, Keys.ENTER, "a")
    assert review.decisions[second.id].edited.question == "Are there no ears?", "what is shown is what is accepted"
    leave_by(browser, "p")
    leave_by(browser, Keys.ENTER, "a")
    assert (place(browser), select(browser, ".state").text) == ("1", "accepted")
    assert review.decisions[first.id].verdict == "accept"


@pytest.mark.parametrize("size", [DESK, PHONE])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_both_themes_and_a_phone(
    browser: WebDriver, review: Served, theme: Theme, size: tuple[int, int]
) -> None:
    visit(browser, review.address, theme, size)
    wait_for(browser, LOADED)
    select(browser, "#show").click()
    wait_for(browser, "return document.getElementById('second').readyState >= 1")
    assert problems(browser) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    colour = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) < 384) == (theme == "dark")
    buttons = shown(select_all(browser, "nav button"))
    assert len(buttons) == 6
    bottoms = (
        "return [...document.querySelectorAll('nav button:not([hidden])')].map((b) => b.getBoundingClientRect().bottom)"
    )
    assert max(browser.execute_script(bottoms)) <= size[1]
    select(browser, "nav [data-key=e]").click()
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    assert select(browser, "#edit").is_displayed() and not select(browser, "#asked").is_displayed()
    assert not select(browser, "nav").is_displayed()


def test_markup_of_a_model_is_text(browser: WebDriver, review: Served) -> None:
    visit(browser, f"{review.address}q/2")
    wait_for(browser, LOADED)
    assert select(browser, "h1").text == f"What happens next? {MARKUP}"
    assert select_all(browser, "h1 *, img, main b:not(.options b, label b)") == []
    press(browser, Keys.ENTER, "e")
    assert select(browser, "[name=question]").get_attribute("value") == f"What happens next? {MARKUP}"
    assert browser.title.startswith("Question 2 of 3")
    assert problems(browser) == []


def test_an_edit_that_breaks_a_check_is_told_and_not_saved(browser: WebDriver, review: Served) -> None:
    visit(browser, review.address)
    press(browser, Keys.ENTER, "e")
    option = select(browser, "textarea[name=A]")
    option.clear()
    option.send_keys(review.session.questions[0].text.options["B"])
    press_with_control(browser, Keys.ENTER)
    wait_for(browser, "return document.getElementById('error').textContent !== ''")
    assert "Not saved: two options say the same" in select(browser, "#error").text
    assert review.decisions == {}
    press(browser, Keys.ESCAPE)
    assert select(browser, "#asked").is_displayed() and not select(browser, "#edit").is_displayed()


def test_a_video_that_cannot_be_shown_is_said_to_be_lost(browser: WebDriver, review: Served) -> None:
    visit(browser, f"{review.address}q/3")
    wait_for(browser, "return !document.querySelector('.lost').hidden")
    assert "missing, or cannot be cut" in select(browser, ".lost").text


def test_another_site_cannot_read_or_decide(browser: WebDriver, review: Served, tmp_path: Path) -> None:
    """A page of another origin that knows the address: no answer reaches it, and no decision the file."""
    page = tmp_path / "evil.html"
    question = review.session.questions[0]
    body = f'{{"id": "{question.id}", "of": "{question.text.digest}", "verdict": "accept", "edited": null}}'
    page.write_text(
        f"<script>fetch('{review.address}decision', {{method: 'POST', mode: 'no-cors', body: `{body}`}})"
        ".finally(() => { document.title = 'tried'; });</script>"
    )
    visit(browser, page.as_uri())
    wait_for(browser, "return document.title === 'tried'")
    assert review.decisions == {}
