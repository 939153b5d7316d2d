"""One mock, one guard and one caller for all tests of the official client."""

import pathlib
import sys

import openai
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import harness  # noqa: E402


@pytest.fixture(scope="session")
def mock():
    mock = harness.Mock()
    yield mock
    mock.stop()


@pytest.fixture(scope="session")
def haris(mock, tmp_path_factory):
    haris = harness.Haris(tmp_path_factory.mktemp("haris"), mock)
    yield haris
    haris.stop()


@pytest.fixture(scope="session")
def key(haris):
    return haris.key("client-tests")


@pytest.fixture
def client(haris, key):
    """Unchanged but for base_url and key: what an application's developer does."""
    with openai.OpenAI(base_url=haris.url, api_key=key) as client:
        yield client
