"""Starts the mock upstream and the built guard on free ports, in folders that go with the test run."""

import json
import os
import pathlib
import subprocess
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Invented, well-formed: they pass the checks that real ones pass.
QID = "28463400123"
IBAN = "QA41HRPB000000000310452077193"
CARD = "4539982044170638"
SECRET = "AKIAHARISPRACTICE234"
LEAKS = [QID, IBAN, CARD, SECRET]

READY_WITHIN_S = 60


def binary(name):
    """A built binary of the workspace."""
    variable = name.upper().replace("-", "_") + "_BIN"
    path = pathlib.Path(os.environ.get(variable) or ROOT / "target" / "debug" / name)
    assert path.exists(), f"{path} is missing: run `cargo build --workspace --bins`, or set {variable}"
    return str(path)


class Mock:
    """The mock upstream; a model's name says what it does (tests/src/upstream/plan.rs)."""

    def __init__(self):
        self.process = subprocess.Popen([binary("mock-upstream")], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line.startswith("mock: "), line
        self.url = line.removeprefix("mock: ").strip()

    def received(self):
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/mock/received") as response:
            return json.load(response)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Haris:
    """The guard, with the mock behind it."""

    def __init__(self, home, mock):
        self.home = pathlib.Path(home)
        (self.home / "haris.toml").write_text(
            f"""listen = "127.0.0.1:0"

[upstreams.mock]
url = "{mock.url}"
provider = "Mock"
place = "US"
key_env = "MOCK_KEY"
models = ["gpt-*", "text-embedding-*"]
"""
        )
        self.log = open(self.home / "log", "wb")
        self.process = subprocess.Popen(
            [binary("haris"), "serve", "--config", "haris.toml", "--data", "data", "--keys", "keys"],
            cwd=self.home, env=self.environment(), stdout=self.log, stderr=self.log,
        )
        begun = time.monotonic()
        while not self.ready():
            assert self.process.poll() is None, (self.home / "log").read_text()
            assert time.monotonic() - begun < READY_WITHIN_S, (self.home / "log").read_text()
            time.sleep(0.05)

    def environment(self):
        kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        return kept | {"MOCK_KEY": "mock-provider-key-0123456789", "HOME": str(self.home), "NO_COLOR": "1"}

    def ready(self):
        try:
            self.address = (self.home / "data" / "listen").read_text().strip()
            return urllib.request.urlopen(f"http://{self.address}/readyz", timeout=5).status == 200
        except (OSError, urllib.error.URLError, ValueError):
            return False

    @property
    def url(self):
        return f"http://{self.address}/v1"

    def run(self, *arguments, check=True):
        """A command of the administrator; returns what it prints."""
        done = subprocess.run(
            [binary("haris"), *arguments], cwd=self.home, env=self.environment(), capture_output=True, text=True
        )
        assert not check or done.returncode == 0, (arguments, done.stderr, (self.home / "log").read_text())
        return done.stdout

    def key(self, name, *arguments):
        printed = self.run("callers", "add", name, "--data", "data", *arguments)
        return next(word for word in printed.split() if word.startswith("hk_"))

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()
