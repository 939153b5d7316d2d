"""Headless Chromium, and a person who uses the console in it."""

import base64
import hashlib
import hmac
import struct
import time

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PASSPHRASE = "lantern orbit nine camels"


def chromium(folder, width=1280, dark=False, scripts=True):
    """A browser with a profile of its own. What breaks the page's own policy shows in its log."""
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--hide-scrollbars", f"--user-data-dir={folder}", f"--window-size={width},900",
    ]:
        options.add_argument(flag)
    if dark:
        options.add_argument("--blink-settings=preferredColorScheme=0")
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))


def totp(secret, at=None):
    """RFC 6238 with SHA-1, six digits, thirty seconds."""
    plain = secret.replace(" ", "")
    key = base64.b32decode(plain + "=" * (-len(plain) % 8))
    step = int((at or time.time()) // 30)
    tag = hmac.new(key, struct.pack(">Q", step), hashlib.sha1).digest()
    word = struct.unpack(">I", tag[tag[-1] & 15:][:4])[0] & 0x7FFFFFFF
    return f"{word % 1_000_000:06}"


def gone(element):
    """Whether the page that an element was of has made room for another; the driver has several words for it."""
    try:
        element.is_enabled()
        return False
    except WebDriverException:
        return True


class Person:
    """Somebody with an account, in a browser of their own."""

    def __init__(self, browser, base, login):
        self.browser, self.base, self.login = browser, base, login
        self.secret, self.used = None, 0

    def open(self, path):
        self.browser.get(self.base + path)

    def find(self, css):
        return self.browser.find_element(By.CSS_SELECTOR, css)

    def all(self, css):
        return self.browser.find_elements(By.CSS_SELECTOR, css)

    def text(self):
        return self.find("body").text

    def title(self):
        return self.find("h1").text

    def fill(self, within="main", **fields):
        for name, value in fields.items():
            field = self.find(f"{within} [name={name}]:not([type=hidden])")
            if field.tag_name != "select":
                field.clear()
            field.send_keys(value)

    def press(self, text, within="main"):
        """Presses the button that says so."""
        for button in self.all(f"{within} button, {within} a.button, {within} summary"):
            if button.text.strip() == text:
                page = self.find("html")
                stays = button.tag_name == "summary" or button.get_attribute("type") == "button"
                button.click()
                if not stays:
                    wait = WebDriverWait(self.browser, 20, ignored_exceptions=[WebDriverException])
                    wait.until(lambda _: gone(page))
                    wait.until(lambda _: self.find("h1").text)
                return
        raise AssertionError(f"no button says {text!r} on:\n{self.text()}")

    def code(self):
        """A code that was not used before: waits for the next one where it must."""
        while int(time.time() // 30) <= self.used:
            time.sleep(0.5)
        self.used = int(time.time() // 30)
        return totp(self.secret)

    def join(self, path, name):
        """Comes in by a link; the recovery codes."""
        self.open(path)
        self.secret = self.find("code.secret").text
        # A step back counts as well, and leaves the present code for logging in; not where it would be two steps back by
        # the time it arrives.
        while time.time() % 30 > 20:
            time.sleep(0.5)
        before = int(time.time() // 30) - 1
        self.fill(login=self.login, name=name, passphrase=PASSPHRASE, code=totp(self.secret, before * 30))
        self.used = before
        self.press("Come in")
        assert self.title() == "Ten codes to keep", self.text()
        return [one.text for one in self.all("ol.codes code")]

    def log_in(self, passphrase=PASSPHRASE, code=None):
        self.open("/login")
        self.fill(login=self.login, passphrase=passphrase, code=code or self.code())
        self.press("Log in")

    def complaints(self):
        """What the browser says of the pages since the last time it was asked: broken policies, missing files, errors."""
        return [one["message"] for one in self.browser.get_log("browser") if one["level"] in ("SEVERE", "WARNING")]
