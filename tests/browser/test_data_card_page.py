"""The data card in a real browser: silent console, both themes, a phone, sorting, its bars are drawn."""

import itertools
from pathlib import Path

import pytest
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from support.card_run import record_row, write_run
from support.chromium import DESK, PHONE, Theme, problems, select, select_all, show
from support.synthetic_run import COLOURS, write_clip

from nep.report.data_card import SAMPLES, write_data_card


@pytest.fixture(scope="session")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_run(tmp_path_factory.mktemp("card"), [record_row(number) for number in range(8)])
    for part, number in itertools.product(("first", "second"), range(1, 8)):
        write_clip(root / "segments" / part / f"clip-{number:03d}.mp4", COLOURS["red"], 0.1, 0.5, 12, 64)
    write_data_card(root, "synthetic", root / "report" / "data.html")
    return root / "report" / "data.html"


@pytest.mark.parametrize("size", [DESK, PHONE])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_card_opens_from_its_file_without_a_word_in_the_console(
    browser: WebDriver, card: Path, theme: Theme, size: tuple[int, int]
) -> None:
    show(browser, card, theme, size)
    assert problems(browser) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    pictures = "return [...document.images].map((image) => image.naturalWidth > 0)"
    assert browser.execute_script(pictures) == [True] * 10 * SAMPLES
    bars = browser.execute_script(
        "return [...document.querySelectorAll('.panel rect')].map((bar) => bar.getBBox().height)"
    )
    assert len(bars) > 5
    assert min(bars) > 0


def test_sources_sort_by_their_records(browser: WebDriver, card: Path) -> None:
    show(browser, card)
    table = select(browser, '[aria-label="Sources"] table')
    table.find_elements(By.CSS_SELECTOR, "button.sort")[1].click()
    counts = [int(row.text) for row in table.find_elements(By.CSS_SELECTOR, "tbody td:nth-child(2)")]
    assert counts == sorted(counts, reverse=True)
    assert len(counts) == 3
    assert len(select_all(browser, "nav a")) == 7
