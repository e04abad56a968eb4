"""Chromium without a window, driven by Selenium, for the tests of the pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from selenium import webdriver
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

# Nothing but the page: no sandbox (tests may run as root), no traffic of the browser's own.
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
# Any host but this machine that a page asks for is refused, and the refusal is an error in the console.
NO_NETWORK = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
PHONE, DESK = (390, 844), (1280, 900)

Theme = Literal["light", "dark"]


@contextmanager
def chromium(profile: Path) -> Iterator[WebDriver]:
    """A browser whose profile is the new folder `profile`."""
    options = webdriver.ChromeOptions()
    options.binary_location = program("chromium")
    for option in (*OPTIONS, NO_NETWORK, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(program("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def program(name: str) -> str:
    """Path of an installed program."""
    found = shutil.which(name)
    assert found, f"no {name!r} found: install it (Debian: apt-get install chromium chromium-driver)"
    return found


def show(driver: WebDriver, page: Path, theme: Theme = "light", size: tuple[int, int] = DESK) -> None:
    """Open a page from its file; see `visit`."""
    visit(driver, page.as_uri(), theme, size)


def visit(driver: WebDriver, address: str, theme: Theme = "light", size: tuple[int, int] = DESK) -> None:
    """Open an address in a theme and a window size, and forget what the console held before."""
    driver.get_log("browser")
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    # A smooth scroll would still be under way when a test clicks.
    wanted = {"prefers-color-scheme": theme, "prefers-reduced-motion": "reduce"}
    features = [{"name": name, "value": value} for name, value in wanted.items()]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
    driver.get(address)


def problems(driver: WebDriver) -> list[str]:
    """What the console says since the page was opened, refusals of its policy among it."""
    return [entry["message"] for entry in driver.get_log("browser")]


def select(driver: WebDriver, css: str) -> WebElement:
    """The one element that fits."""
    (found,) = select_all(driver, css)
    return found


def select_all(driver: WebDriver, css: str) -> list[WebElement]:
    """All elements that fit, hidden ones too."""
    return driver.find_elements(By.CSS_SELECTOR, css)


def shown(elements: list[WebElement]) -> list[WebElement]:
    """Those that are not hidden."""
    return [element for element in elements if element.is_displayed()]
