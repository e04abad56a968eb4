"""The page that predicts, in a real browser with real models: the cut by pointer, touch and keyboard, what models see,
answers as they come, what happened after it is asked for, a phone, nothing from outside; and its folder by itself."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait
from support.app_run import CUT_S, app_of, app_served, write_app_run
from support.chromium import DESK, PHONE, Theme, problems, select, select_all, shown, visit
from support.entry_points import ROOT
from support.own_benchmark_run import MARKUP

from nep.app.server import App
from nep.app.space import write_space
from nep.predict.ask import Ask

PATIENCE_S = 60
PATHS = ["base", "nep/sft", "nep/grpo"]
LOOKED = (
    "const seen = document.getElementById('seen');"
    "return document.querySelectorAll('#strip img').length && seen.children.length && !seen.matches('.waits')"
)
READY = "return [...document.querySelectorAll('.models small')].some((state) => state.textContent === '')"
ANSWERED = "return document.querySelectorAll('[data-letter].verdict').length === arguments[0]"
DROP = (
    "const dropped = new DataTransfer(); dropped.items.add(new File([arguments[1]], arguments[0]));"
    "document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: dropped, bubbles: true, cancelable: true}))"
)
VALUE = "return Number(document.getElementById('cut').value)"
LAST_SEEN = "return parseFloat([...document.querySelectorAll('#seen figcaption')].at(-1).textContent)"


@dataclass(frozen=True)
class Page:
    """The served page."""

    address: str
    app: App


@pytest.fixture(scope="module")
def run(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_app_run(tmp_path_factory.mktemp("runs") / "mine", tiny_checkpoint)


@pytest.fixture(scope="module")
def page(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    app = app_of(run, tmp_path_factory.mktemp("work"))
    with app_served(app) as port:
        yield Page(f"http://127.0.0.1:{port}/{app.token}/", app)


def wait_for(browser: WebDriver, script: str, *values: int | float) -> None:
    WebDriverWait(browser, PATIENCE_S, poll_frequency=0.05).until(lambda driver: driver.execute_script(script, *values))


def open_page(browser: WebDriver, address: str, theme: Theme = "light", size: tuple[int, int] = DESK) -> None:
    visit(browser, address, theme, size)
    wait_for(browser, LOOKED)
    wait_for(browser, READY)


def press(browser: WebDriver, *keys: str) -> None:
    ActionChains(browser).send_keys(*keys).perform()


def predict_by_keyboard(browser: WebDriver) -> None:
    ActionChains(browser).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()


def drag_cut_to(browser: WebDriver, share: float, kind: str) -> float:
    """Drag the cut from where it is to a share of the strip's width; seconds that this should be."""
    strip, knife = select(browser, "#strip").rect, select(browser, "#knife").rect
    row = int(strip["y"] + strip["height"] / 2) - browser.execute_script("return scrollY")
    actions = ActionBuilder(browser, mouse=PointerInput(kind, kind), duration=20)
    pointer = actions.pointer_action
    pointer.move_to_location(int(knife["x"] + knife["width"] / 2), row).pointer_down()
    for step in (0.5, 0.8, 1.0):
        begin = knife["x"] + knife["width"] / 2
        pointer.move_to_location(int(begin + step * (strip["x"] + share * strip["width"] - begin)), row)
    pointer.pointer_up()
    actions.perform()
    return share * browser.execute_script("return Number(document.getElementById('cut').max)")


def test_a_benchmark_question_from_the_cut_to_what_happened_by_keyboard(browser: WebDriver, page: Page) -> None:
    open_page(browser, page.address)
    video, example = page.app.examples[0]
    assert select(browser, "#question").get_attribute("value") == example.question.question
    assert browser.execute_script(VALUE) == CUT_S
    assert browser.execute_script(LAST_SEEN) < CUT_S
    # Until it is asked for, the strip is covered from the cut on, and the film stops before it.
    assert select(browser, "#veil").get_attribute("class") == "closed"
    assert not select(browser, "#happened").is_displayed()
    press(browser, " ")
    wait_for(
        browser,
        "const v = document.getElementById('video'); return v.paused && v.currentTime > arguments[0] - 0.2",
        CUT_S,
    )
    assert browser.execute_script("return document.getElementById('video').currentTime") < CUT_S

    predict_by_keyboard(browser)
    wait_for(browser, ANSWERED, 3)
    assert [answer.get_attribute("data-model") for answer in select_all(browser, ".answer")] == PATHS
    asked = Ask(
        video.file, CUT_S, example.question.question, tuple(example.question.options.values()), max_new_tokens=6
    )
    predictor = page.app.models._reading["nep/grpo"].result().predictor
    said = "".join(predictor.stream(asked)).strip()
    assert said
    assert [" ".join(text.text.split()) for text in select_all(browser, ".said")] == [" ".join(said.split())] * 3
    assert select(browser, "#told").text == ""

    press(browser, "r")
    assert select(browser, "#told").text == example.record.caption_part2
    assert select(browser, ".options .right").get_attribute("data-letter") == example.question.answer
    assert select(browser, "#veil").get_attribute("class") == "open"
    wait_for(browser, "return document.getElementById('video').currentTime > arguments[0] + 0.1", CUT_S)
    assert problems(browser) == []


def test_the_cut_is_dragged_by_pointer_and_moved_by_keys(browser: WebDriver, page: Page) -> None:
    open_page(browser, page.address)
    wanted = drag_cut_to(browser, 0.8, "mouse")
    assert browser.execute_script(VALUE) == pytest.approx(wanted, abs=0.05)
    wait_for(browser, LOOKED)
    assert browser.execute_script(LAST_SEEN) > CUT_S
    assert select(browser, "#at").text == f"Cut at {browser.execute_script(VALUE):.2f} s"
    assert select(browser, "#back").is_displayed()

    before = browser.execute_script(VALUE)
    press(browser, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert browser.execute_script(VALUE) == pytest.approx(before - 2 / 12, abs=1e-4)
    select(browser, "#cut").send_keys(Keys.HOME)
    assert browser.execute_script(VALUE) == pytest.approx(2 / 12, abs=1e-4)
    select(browser, "#cut").send_keys(Keys.END, Keys.PAGE_DOWN)
    duration = page.app.examples[0][0].facts().duration
    assert browser.execute_script(VALUE) == pytest.approx(duration - 0.5 / 12 - 1, abs=1e-3)
    # Where a text is written, the same keys are the text's.
    select(browser, "#question").send_keys("r n", Keys.ARROW_LEFT)
    assert select(browser, "#question").get_attribute("value").endswith("r n")
    assert browser.execute_script(VALUE) == pytest.approx(duration - 0.5 / 12 - 1, abs=1e-3)
    select(browser, "#back").click()
    assert browser.execute_script(VALUE) == CUT_S
    assert problems(browser) == []


@pytest.mark.parametrize(("theme", "size"), [("light", PHONE), ("dark", PHONE), ("dark", DESK)])
def test_it_fits_a_phone_and_both_themes(browser: WebDriver, page: Page, theme: Theme, size: tuple[int, int]) -> None:
    open_page(browser, page.address, theme, size)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    colour = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) < 384) == (theme == "dark")
    buttons = shown(select_all(browser, "nav button"))
    assert len({button.rect["y"] for button in buttons}) == 1 and len(buttons) == 4
    # What is needed first is seen first: the film, and the strip with the cut.
    assert select(browser, ".strip").rect["y"] + 80 < size[1]
    wanted = drag_cut_to(browser, 0.3, "touch" if size == PHONE else "mouse")
    assert browser.execute_script(VALUE) == pytest.approx(wanted, abs=0.1)
    select(browser, "#predict").click()
    wait_for(browser, ANSWERED, 3)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    assert problems(browser) == []


def test_a_video_of_ones_own(browser: WebDriver, page: Page) -> None:
    open_page(browser, page.address)
    film = page.app.examples[0][0].file
    select(browser, "#file").send_keys(str(film.resolve()))
    wait_for(browser, "return document.getElementById('upload').textContent === arguments[0]", film.name)
    wait_for(browser, LOOKED)
    duration = page.app.examples[0][0].facts().duration
    assert browser.execute_script(VALUE) == pytest.approx(0.6 * duration, abs=1e-3)
    assert select(browser, "#question").get_attribute("value") == ""
    assert select(browser, "#veil").get_attribute("class") == ""
    for place, text in enumerate(("A cat.", "A dog.")):
        select_all(browser, "[name=option]")[place].send_keys(text)
    select(browser, ".more summary").click()
    select(browser, "#samples").send_keys(Keys.ARROW_UP)
    assert select(browser, "#temperature").get_attribute("value") == "1"
    select(browser, "[name=model][value=base]").click()
    select(browser, "#predict").click()
    wait_for(browser, ANSWERED, 4)
    assert [len(answer.find_elements("css selector", ".sample")) for answer in select_all(browser, ".answer")] == [2, 2]
    select(browser, "#reveal").click()
    assert not select(browser, "#happened").is_displayed()
    assert problems(browser) == []


def test_a_film_that_the_browser_cannot_play_is_shown_by_its_frames(
    browser: WebDriver, page: Page, tmp_path: Path
) -> None:
    with av.open(str(tmp_path / "old.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        for level in range(0, 200, 10):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    open_page(browser, page.address)
    select(browser, "#file").send_keys(str(tmp_path / "old.avi"))
    wait_for(browser, "return document.getElementById('still').naturalWidth > 0")
    assert select(browser, "#unplayable").is_displayed() and not select(browser, "#video").is_displayed()
    wait_for(browser, LOOKED)
    browser.execute_script(DROP, "list.mp4", "ffconcat version 1.0\n")
    wait_for(browser, "return document.getElementById('error').textContent.startsWith('list.mp4: no video file')")


def test_markup_is_text(browser: WebDriver, page: Page) -> None:
    open_page(browser, page.address)
    place = next(place for place, (_, one) in enumerate(page.app.examples) if MARKUP in one.question.question)
    select_all(browser, ".card")[place].click()
    wait_for(browser, "return document.getElementById('question').value.includes('<b>')")
    wait_for(browser, LOOKED)
    press(browser, "r")
    wait_for(browser, "return document.getElementById('told').textContent !== ''")
    assert select(browser, "#told").text == MARKUP
    assert MARKUP in select_all(browser, ".card")[place].text
    assert select_all(browser, "[onerror], main p b") == [] and browser.title.startswith("What happens next?")
    assert problems(browser) == []


def test_its_folder_is_served_by_itself(browser: WebDriver, run: Path, tmp_path: Path) -> None:
    """As a Space starts it, but for the port: no file of this repository is in reach."""
    write_space(run, ROOT, tmp_path / "space", 1)
    command = re.search(r"CMD \[(.*)\]", (tmp_path / "space" / "Dockerfile").read_text(encoding="utf-8"))[1]
    program, *arguments = re.findall(r'"([^"]*)"', command)
    assert program == "python"
    arguments[arguments.index("--port") + 1] = "0"
    arguments[arguments.index("--host") + 1] = "127.0.0.1"
    (tmp_path / "temporary").mkdir()
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    environment["TMPDIR"] = str(tmp_path / "temporary")
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=tmp_path / "space", env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            address = re.search(r"http://127.0.0.1:\d+/", server.stdout.readline())[0]
            open_page(browser, address)
            assert "sent to this page’s server" in select(browser, ".masthead p").text
            select(browser, "#predict").click()
            wait_for(browser, ANSWERED, 3)
            assert problems(browser) == []
            assert len(list((tmp_path / "temporary").glob("nep-app-*"))) == 1
            server.terminate()
            assert server.wait(PATIENCE_S) == 0
        finally:
            server.kill()
    assert list((tmp_path / "temporary").glob("nep-app-*")) == []
