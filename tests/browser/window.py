"""A browser without a window on the screen, in which a test opens pages from a disk."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
PATIENCE = 120  # seconds until what a page does must have been done, also on a busy machine


def browser(profile: Path, logs: dict[str, str], **preferences: str) -> webdriver.Chrome:
    """A browser with a profile of its own; `logs` says what it notes of its pages."""
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    # no sandbox: containers and root have none; no GPU and little shared memory in a container either
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={profile}")
    options.add_argument("--window-size=1280,900")
    options.add_experimental_option("prefs", preferences)
    options.set_capability("goog:loggingPrefs", logs)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


def visit(driver: webdriver.Chrome, address: str) -> None:
    """Open a page; when this returns, its program has run and it has the focus.

    Chromium 150's driver may come back while the page is still being read. A window that no desktop shows may not have
    the focus either: then `focus()` makes an element the active one, and no event tells the page.
    """
    driver.execute_cdp_cmd("Emulation.setFocusEmulationEnabled", {"enabled": True})
    driver.get(address)
    script = """
        const here = location.href.split('#')[0] === arguments[0].split('#')[0];
        return here && document.readyState === 'complete' && document.hasFocus();
    """
    wait(lambda: driver.execute_script(script, address))


class Window:
    """A browser; one page after another is opened in it."""

    def __init__(self, profile: Path):
        self.driver = browser(profile, {"browser": "ALL", "performance": "ALL"})

    def open(self, page: Path, scheme: str = "light", width: int = 1280, hash: str = "") -> None:
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        visit(self.driver, "about:blank")
        visit(self.driver, page.as_uri() + hash)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def one(self, selector: str) -> Any:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.one(selector).get_property("textContent")

    def texts(self, selector: str) -> list[str]:
        return self.run("return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)", selector)

    def press(self, *keys: str) -> None:
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def choose(self, selector: str, value: str) -> None:
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change', {bubbles: true}))"
        self.run(script, self.one(selector), value)

    def see(self, name: str) -> None:
        """Bring a part into sight until what is drawn there is drawn: parts above it may grow and push it away."""
        script = """
            const place = document.getElementById(arguments[0]);
            place.scrollIntoView({block: 'center'});
            return place.matches(':has(.main-svg), :has(> svg), .none');
        """
        wait(lambda: self.run(script, name))

    def traces(self, name: str) -> list[dict[str, Any]]:
        self.see(name)
        script = "return document.getElementById(arguments[0]).data.map((one) => ({type: one.type, name: one.name}))"
        return self.run(script, name)

    def faults(self) -> list[str]:
        """What the browser complained about: errors of the program, blocked scripts, failed requests."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The addresses that were asked for, but for the page itself and what stands in it."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]
        return [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))]


def wait(condition: Callable[[], Any]) -> Any:
    """What a condition gives as soon as it holds."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def contrast(driver: Any, element: Any) -> float:
    """Contrast of an element's text with what lies behind it (WCAG 2.1, contrast ratio)."""
    ink, ground = driver.execute_script(
        """
        const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
        const numbers = (colour) => {
          canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
          return [...canvas.getImageData(0, 0, 1, 1).data];
        };
        let behind = arguments[0];
        const ink = numbers(getComputedStyle(behind).color);
        while (behind.parentElement && numbers(getComputedStyle(behind).backgroundColor)[3] === 0) {
          behind = behind.parentElement;
        }
        return [ink, numbers(getComputedStyle(behind).backgroundColor)];
        """,
        element,
    )
    one, other = sorted(map(luminance, (ink, ground)))
    return (other + 0.05) / (one + 0.05)


def luminance(colour: list[float]) -> float:
    parts = [value / 255 for value in colour[:3]]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
