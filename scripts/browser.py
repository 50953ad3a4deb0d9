"""Debian's headless Chromium with a private profile and no network access beyond the page it is given."""

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

# Reports violations of the page's Content-Security-Policy on the console, independently of Chromium's own messages.
WATCH = """document.addEventListener("securitypolicyviolation", event =>
    console.error(`${event.violatedDirective} forbids ${event.blockedURI} ${event.sample}`));"""


class Browser:
    """One tab; its methods wait up to two minutes, then raise selenium's TimeoutException."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    @property
    def url(self) -> str:
        return str(self.driver.current_url)

    def open(self, url: str) -> None:
        self.driver.get(url)

    def find(self, selector: str) -> WebElement:
        """Return the first element that matches a CSS selector, as soon as there is one."""
        return self.until(lambda driver: (driver.find_elements(By.CSS_SELECTOR, selector) or [None])[0])

    def all(self, selector: str) -> list[WebElement]:
        return list(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements that match a CSS selector, including hidden ones."""
        script = "return [...document.querySelectorAll(arguments[0])].map(each => each.textContent.trim())"
        return list(self.run(script, selector))

    def run(self, script: str, *arguments: object) -> Any:
        """Run JavaScript, even if the page itself may not."""
        return self.driver.execute_script(script, *arguments)

    def until(self, condition: Callable[[Any], Any]) -> Any:
        return WebDriverWait(self.driver, WAIT_SECONDS, 0.05).until(condition)

    def leave_by(self, act: Callable[[], object]) -> None:
        """Do something that opens another page, and wait until it has loaded."""
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
        """Fill in the login form on the page."""
        self.find("#id_username").send_keys(name)
        self.find("#id_password").send_keys(password)
        self.leave_by(self.find("[type=submit]").click)

    def be(self, width: int = WIDTH, height: int = HEIGHT, scheme: str = "light", scripts: bool = True) -> None:
        """Set the window size, the preferred colour scheme, and whether pages may run scripts."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self._command("Emulation.setDeviceMetricsOverride", **size)
        preference = {"name": "prefers-color-scheme", "value": scheme}
        self._command("Emulation.setEmulatedMedia", features=[preference])
        self._command("Emulation.setScriptExecutionDisabled", value=not scripts)

    def forget(self) -> None:
        """Clear all cookies, stored data and console messages."""
        self._command("Network.clearBrowserCookies")
        self._command("Storage.clearDataForOrigin", origin="*", storageTypes="all")
        self.complaints()

    def remember(self, url: str, cookie: dict[str, Any]) -> None:
        self._command("Network.setCookie", url=url, name=cookie["name"], value=cookie["value"])

    def complaints(self) -> Sequence[str]:
        """Return the console errors since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def photograph(self, path: str) -> None:
        """Save a screenshot of the whole page as PNG."""
        height = self.run("return document.documentElement.scrollHeight")
        width = self.run("return window.innerWidth")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self._command("Emulation.setDeviceMetricsOverride", **size)
        self.driver.save_screenshot(path)

    def _command(self, name: str, /, **arguments: object) -> None:
        self.driver.execute_cdp_cmd(name, arguments)


def missing_program() -> str | None:
    """Return the first of the two required programs that is not installed, or None."""
    return next((name for name in PROGRAMS if not shutil.which(name)), None)


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium, and stop it at the end, even after an error."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        # With both paths given, selenium does not look for them on the network.
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
