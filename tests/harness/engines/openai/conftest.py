"""The engine openai on a server that a test writes."""

import pytest

from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.openai import client as openai_client
from fathom.harness.engines.openai.engine import open_openai
from fathom.harness.engines.options import check_settings
from tests.harness.engines.openai.misbehaving import KEY, Api


@pytest.fixture
def api():
    return Api()


@pytest.fixture
def engine(api, serve, monkeypatch):
    """Open the engine on the test's server: `engine(patience=1)`."""
    monkeypatch.setenv("FATHOM_API_KEY", KEY)
    monkeypatch.setattr(openai_client, "_FIRST", 0.01)  # seconds before the second try
    opened = []
    url = serve(api.app)

    def make(model="tiny", **options):
        settings = EngineSettings("openai", options={"base_url": url, "patience": 5, **options})
        check_settings(settings)
        opened.append(open_openai(model, settings))
        return opened[-1]

    yield make
    for one in opened:
        one.close()
