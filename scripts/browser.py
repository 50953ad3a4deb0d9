"""Debian's Chromium without a window, on a private profile, talking to nobody but the page it is given."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

PROGRAMS = ("chromium", "chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
WAIT_SECONDS = 120
WIDTH, HEIGHT = 1200, 1000

# A page that breaks its Content-Security-Policy says so in the console, whatever Chromium itself says.
WATCH = """document.addEventListener("securitypolicyviolation", event =>
    console.error(`${event.violatedDirective} forbids ${event.blockedURI} ${event.sample}`));"""


class Browser:
    """One tab. What it waits for comes within two minutes, or selenium's TimeoutException is raised."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    @property
    def url(self) -> str:
        return str(self.driver.current_url)

    def open(self, url: str) -> None:
        self.driver.get(url)

    def find(self, selector: str) -> WebElement:
        """Return the first element of a CSS selector, as soon as it is there."""
        return self.until(lambda driver: (driver.find_elements(By.CSS_SELECTOR, selector) or [None])[0])

    def all(self, selector: str) -> list[WebElement]:
        return list(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements of a CSS selector, hidden ones too."""
        script = "return [...document.querySelectorAll(arguments[0])].map(each => each.textContent.trim())"
        return list(self.run(script, selector))

    def run(self, script: str, *arguments: object) -> Any:
        """Run JavaScript, also where pages must not."""
        return self.driver.execute_script(script, *arguments)

    def until(self, condition: Callable[[Any], Any]) -> Any:
        return WebDriverWait(self.driver, WAIT_SECONDS, 0.05).until(condition)

    def leave_by(self, act: Callable[[], object]) -> None:
        """Do what leads to another page, and wait for that."""
        left = self.driver.find_element(By.TAG_NAME, "html").id
        act()
        # While a page is being replaced, there may be no element at all.
        self.until(lambda driver: [each for each in driver.find_elements(By.TAG_NAME, "html") if each.id != left])
        self.until(lambda driver: driver.execute_script("return document.readyState") == "complete")

    def point_at(self, element: WebElement) -> None:
        ActionChains(self.driver).move_to_element(element).perform()

    def press(self, *keys: str) -> None:
        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def log_in(self, name: str, password: str) -> None:
        """Fill in the login form that is shown."""
        self.find("#id_username").send_keys(name)
        self.find("#id_password").send_keys(password)
        self.leave_by(self.find("[type=submit]").click)

    def be(self, width: int = WIDTH, height: int = HEIGHT, scheme: str = "light", scripts: bool = True) -> None:
        """Have a window so wide and high, prefer a colour scheme, and run scripts of pages or not."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self._command("Emulation.setDeviceMetricsOverride", **size)
        preference = {"name": "prefers-color-scheme", "value": scheme}
        self._command("Emulation.setEmulatedMedia", features=[preference])
        self._command("Emulation.setScriptExecutionDisabled", value=not scripts)

    def forget(self) -> None:
        """Lose all cookies, what pages stored, and what they complained about."""
        self._command("Network.clearBrowserCookies")
        self._command("Storage.clearDataForOrigin", origin="*", storageTypes="all")
        self.complaints()

    def remember(self, url: str, cookie: dict[str, Any]) -> None:
        self._command("Network.setCookie", url=url, name=cookie["name"], value=cookie["value"])

    def complaints(self) -> Sequence[str]:
        """Return the errors of the console since this was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def photograph(self, path: str) -> None:
        """Write a picture of the whole page as PNG."""
        height = self.run("return document.documentElement.scrollHeight")
        width = self.run("return window.innerWidth")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self._command("Emulation.setDeviceMetricsOverride", **size)
        self.driver.save_screenshot(path)

    def _command(self, name: str, /, **arguments: object) -> None:
        self.driver.execute_cdp_cmd(name, arguments)


def missing_program() -> str | None:
    """Return the first of the two programs that is not installed."""
    return next((name for name in PROGRAMS if not shutil.which(name)), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium, and end it whatever happened."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        # Both are given, so that selenium does not look for them on the network.
        options.binary_location, driver = (shutil.which(name) or name for name in PROGRAMS)
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        chrome = webdriver.Chrome(options, Service(driver))
        try:
            chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
            browser = Browser(chrome)
            browser.be()
            yield browser
        finally:
            chrome.quit()
