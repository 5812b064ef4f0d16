"""Turn the address of the board into what is wanted of the database, and back."""

from typing import Annotated, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from harness.db.board import Pool, Wanted
from harness.errors import BadInput
from harness.format import shorten
from server.fields import Open, Plain

PAGE = 100
"""Models on a page."""

_DEFAULT_ORDER = {"rank": "asc", "model": "asc"}
_BILLION = 1e9


class NoSuchView(BadInput):
    """The address names a pool, style, family, channel or page that the board does not have."""

    status = 404


Word = Annotated[Annotated[str, Field(max_length=64), Plain] | None, Open]
Size = Annotated[Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None, Open]


class BoardQuery(BaseModel):
    """Everything that decides what the board shows; each field is a parameter of its address."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pool: Word = Field(None, description="Digest of the cells that were asked; open: the pool of most models.")
    style: Word = Field(None, description="direct, cot, choice or free; open: the pool's first one.")
    family: Word = Field(None, description="Show this family level by level instead of all families.")
    channel: Word = Field(None, description="symbol or story, where a family is shown level by level.")
    easiest: Size = Field(None, description="Least hardness of the levels shown.")
    hardest: Size = Field(None, description="Greatest hardness of the levels shown, its fraction left out.")
    q: Annotated[str, Field(max_length=100), Plain] = Field("", description="Words that the model's name contains.")
    kind: Word = Field(None, description="base or chat.")
    dtype: Word = Field(None, description="Number format that the engine ran, such as bfloat16.")
    engine: Word = Field(None, description="Engine that ran the model.")
    tier: Annotated[Literal["1", "2", "3"] | None, Open] = Field(None, description="Tier of the run: 1, 2 or 3.")
    season: Word = Field(None, description="Season whose items were asked.")
    min: Size = Field(None, description="Least size, in billions of parameters.")
    max: Size = Field(None, description="Greatest size, in billions of parameters.")
    complete: bool = Field(False, description="Only models all of whose items were graded.")
    columns: Annotated[list[str], Field(max_length=50)] = Field([], description="Families to show; open: all.")
    sort: Annotated[str, Field(max_length=64), Plain] = Field("rank", description="rank, model, size, date, a family.")
    order: Annotated[Literal["asc", "desc"] | None, Open] = Field(None, description="Direction of the sort.")
    page: Annotated[int, Field(ge=1, le=1_000_000)] = Field(1, description="Page of 100 models.")

    @property
    def direction(self) -> Literal["asc", "desc"]:
        """Return the order asked for, or the one that puts the best first."""
        return self.order or ("asc" if _DEFAULT_ORDER.get(self.sort) else "desc")

    def link(self, **changes: object) -> str:
        """Write the query with changes, on its first page unless a page is named; what is open is left out."""
        values = {**self.model_dump(exclude_defaults=True, exclude={"page"}), **changes}
        kept = {key: value for key, value in values.items() if value not in (None, "", []) and value is not False}
        return "?" + urlencode({k: "true" if v is True else v for k, v in kept.items()}, doseq=True)


def choose_pool(query: BoardQuery, pools: tuple[Pool, ...]) -> Pool:
    """Return the pool that a query names, or the first.

    Raises:
        NoSuchView: there is no such pool.
    """
    if query.pool is None:
        return pools[0]
    for pool in pools:
        if pool.id == query.pool:
            return pool
    raise NoSuchView(f"there is no pool {query.pool!r}: the board lists them")


def wanted_of(query: BoardQuery, pool: Pool) -> Wanted:
    """Check a query against its pool and turn it into a filter.

    Raises:
        NoSuchView: no such style, family or column to sort by.
    """
    style = query.style or pool.styles[0]
    _check("style", style, pool.styles)
    families = tuple(pool.asked[style])
    for family in (*query.columns, *([query.family] if query.family else [])):
        _check("family", family, families)
    _check("order", query.sort, ("rank", "model", "size", "date", *families))
    return Wanted(
        pool.id, style, query.q, query.kind, query.dtype, query.engine,
        int(query.tier) if query.tier else None, query.season,
        _parameters(query.min), _parameters(query.max), query.complete, query.sort, query.direction,
    )  # fmt: skip


def _check(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise NoSuchView(f"this table has no {what} {shorten(value, 40)!r}; known: {', '.join(known)}")


def _parameters(billions: float | None) -> float | None:
    return None if billions is None else billions * _BILLION
