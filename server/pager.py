"""Turn a number of things and a page's number into where one stands among all."""

from collections.abc import Callable
from dataclasses import dataclass

from harness.errors import BadInput


class NoSuchPage(BadInput):
    """The address names a page beyond the last."""

    status = 404


@dataclass(frozen=True, slots=True)
class Pager:
    """Where a page stands among all; a link is None where there is no page."""

    page: int
    n_pages: int
    first: int
    last: int
    total: int
    previous: str | None
    next: str | None


def make_pager(page: int, total: int, size: int, link: Callable[[int], str]) -> Pager:
    """Place a page among all; `link` writes the query of another page.

    Raises:
        NoSuchPage: beyond the last.
    """
    n_pages = max(1, -(-total // size))
    if page > n_pages:
        raise NoSuchPage(f"there is no page {page}: the last one is {n_pages}")
    first = (page - 1) * size
    previous = link(page - 1) if page > 1 else None
    following = link(page + 1) if page < n_pages else None
    return Pager(page, n_pages, min(first + 1, total), min(first + size, total), total, previous, following)
