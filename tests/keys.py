"""The key of a board without accounts: how clients and browsers of the tests are let in."""

import re

import pytest

from fathom.harness.service.board_key import derived, open_key
from fathom.harness.settings import ServiceSettings
from fathom.server.accounts.middleware import cookie_policy

SITE_SCRIPT = '<script src="/static/site.js"></script>'
"""The one script of every page."""


def cookies_of(key):
    """Return the cookies of a browser that has opened the address with this key."""
    return {cookie_policy(ServiceSettings(key=key)).cookie: derived(key, "cookie")}


def cookies_of_app(app):
    """Return the cookies of a browser that has the key of this application, which has no accounts."""
    return cookies_of(app.state.service.key)


def cookies_of_board(database):
    """Return the cookies of a browser that has the key of the board of this database."""
    return cookies_of(open_key(str(database)))


def headers_of_board(database):
    """Return what a program sends to the board of a database."""
    return {"Authorization": f"Bearer {open_key(str(database))}"}


def printed_address(process):
    """Return the address that `fathom serve` prints, without its key."""
    return printed_entry(process).partition("/?")[0]


def printed_entry(process):
    """Return the address that `fathom serve` prints, with its key if there are no accounts."""
    for line in process.stdout:
        found = re.search(r"http://\S+:\d+(?:/\?key=[\w-]+)?", line)
        if found:
            return found[0]
    return pytest.fail("`fathom serve` ended without an address")
