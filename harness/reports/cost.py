"""What a run cost: tokens, seconds and dollars, in all and for each right answer.

Prices are those of the user's file, else of prices.toml beside this file; a run of a model without a price has none.
"""

import datetime as dt
import logging
import re
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Engine

from fathom.harness.db.usage import usage_of_runs
from fathom.harness.engines.providers import provider_at
from fathom.harness.errors import BadPrices, fault_text
from fathom.harness.format import dollars, tokens
from fathom.harness.records import CellUsage, Manifest, RunDetail
from fathom.harness.settings import prices_file

log = logging.getLogger(__name__)

OURS = Path(__file__).with_name("prices.toml")
_MILLION = 1_000_000
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class Price(BaseModel):
    """The price of a model's tokens in dollars a million; `model` may hold * for anything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(min_length=1)
    provider: str = ""
    """Empty: this model wherever it is served."""
    input: float = Field(ge=0, allow_inf_nan=False)
    output: float = Field(ge=0, allow_inf_nan=False)
    dated: dt.date
    source: str = ""

    def fits(self, provider: str, model: str) -> bool:
        """Return whether this is the price of a model at a provider; a dated snapshot costs what its model does."""
        names = model, _SNAPSHOT.sub("", model)
        return self.provider in ("", provider) and any(fnmatchcase(name, self.model) for name in names)

    def text(self) -> str:
        """Say the price in a few words."""
        return f"${self.input:g} and ${self.output:g} a million tokens in and out, as of {self.dated}"


class Machine(BaseModel):
    """What an hour of the machine costs that runs models itself, in dollars."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dollars_per_hour: float = Field(ge=0, allow_inf_nan=False)
    dated: dt.date


class PriceList(BaseModel):
    """A file of prices: of API models, and of the machine for models that are run here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    price: tuple[Price, ...] = ()
    machine: Machine | None = None


@dataclass(frozen=True, slots=True)
class Prices:
    """The user's list before ours: the first price that fits counts."""

    price: tuple[Price, ...]
    machine: Machine | None

    def of(self, manifest: Manifest) -> Price | None:
        """Return the price of the model of a run behind a server; None where it is run here, or has no price."""
        engine = manifest.decisive.engine
        if engine.name != "openai":
            return None
        provider = str(engine.options.get("provider") or provider_at(str(manifest.context.placement.get("base_url"))))
        model = str(engine.options.get("served_model") or manifest.decisive.model.name)
        return next((one for one in self.price if one.fits(provider, model)), None)


def read_prices() -> Prices:
    """Return the user's prices before ours.

    Raises:
        BadPrices: the user's file cannot be read.
    """
    ours, file = _read(OURS), prices_file()
    theirs = PriceList() if file is None else _read(file)
    return Prices(theirs.price + ours.price, theirs.machine)


@lru_cache(maxsize=4)
def _read_text(text: str, file: Path) -> PriceList:
    try:
        return PriceList.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise BadPrices(f"the prices in {file} are no TOML: {error}") from error
    except ValidationError as error:
        raise BadPrices(f"the prices in {file}: {fault_text(dict(error.errors()[0]))}") from error


def _read(file: Path) -> PriceList:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadPrices(f"the prices in {file} cannot be read ({error}): mend FATHOM_PRICES, or the file") from error
    return _read_text(text, file)


@dataclass(frozen=True, slots=True)
class RunCost:
    """What a run used; dollars are None where no price is known."""

    prompt_tokens: int
    completion_tokens: int
    """Thoughts included, also those that a provider counts and does not show."""
    seconds: int
    n_right: int
    dollars: float | None = None
    price: str = ""
    """The price in words."""

    def per_right(self, amount: float | None) -> float | None:
        """Return an amount for each right answer; None where there is none, or no amount."""
        return None if amount is None or not self.n_right else amount / self.n_right

    def to_json(self) -> dict[str, Any]:
        """Return all amounts, in all and for each right answer, as JSON values; null where they are not known."""
        per_right = {
            "tokens": self.per_right(self.prompt_tokens + self.completion_tokens),
            "completion_tokens": self.per_right(self.completion_tokens),
            "seconds": self.per_right(self.seconds),
            "dollars": self.per_right(self.dollars),
        }
        return asdict(self) | {"per_right_answer": per_right}


def cost_of_run(db: Engine, detail: RunDetail, prices: Prices | None = None) -> RunCost:
    """Return what a run on a suite used, by its samples, and what that costs.

    Raises:
        BadPrices: the user's file cannot be read.
    """
    cells = usage_of_runs(db, [detail.summary.run])[detail.summary.run]
    return cost_of(cells, detail, read_prices() if prices is None else prices)


def cost_of(cells: Iterable[CellUsage], detail: RunDetail, prices: Prices) -> RunCost:
    """Return what a run used, from the tokens of its cells."""
    used = list(cells)
    n_in, n_out = sum(one.prompt_tokens for one in used), sum(one.completion_tokens for one in used)
    one, manifest = detail.summary, detail.manifest
    amount, price = priced(manifest, prices, n_in, n_out, one.seconds)
    return RunCost(n_in, n_out, one.seconds, one.k, amount, price)


def priced(
    manifest: Manifest, prices: Prices, n_in: float, n_out: float, seconds: float | None
) -> tuple[float | None, str]:
    """Return what tokens and seconds of a run cost in dollars, and the price in words; None and "" without a price."""
    price = prices.of(manifest)
    if price is not None:
        return (n_in * price.input + n_out * price.output) / _MILLION, price.text()
    machine, engine = prices.machine, manifest.decisive.engine.name
    if machine is None or seconds is None or engine in ("openai", "oracle"):
        return None, ""
    said = f"${machine.dollars_per_hour:g} an hour of this machine, as of {machine.dated}"
    return seconds * machine.dollars_per_hour / 3600, said


def cost_facts(cost: RunCost) -> tuple[tuple[str, str], ...]:
    """Return what a run used, in all and for each right answer, as terms and values; nothing of what is not known."""
    if not cost.prompt_tokens + cost.completion_tokens:
        return ()
    found = [("Tokens", f"{tokens(cost.prompt_tokens)} read, {tokens(cost.completion_tokens)} written")]
    if cost.dollars is not None:
        found.append(("Cost", f"{dollars(cost.dollars)}: {cost.price}"))
    if cost.n_right:
        each = [f"{tokens(cost.completion_tokens / cost.n_right)} tokens written"]
        each += [f"{cost.seconds / cost.n_right:.2g} s"] if cost.seconds else []
        each += [dollars(cost.dollars / cost.n_right)] if cost.dollars is not None else []
        found.append(("For each right answer", ", ".join(each)))
    return tuple(found)


def cost_text(cost: RunCost) -> str:
    """Say in one line what a run used; empty where nothing is known."""
    return "; ".join(f"{term[0].lower()}{term[1:]} {value}" for term, value in cost_facts(cost))


def page_prices() -> Prices:
    """Return the user's prices before ours; ours alone where the user's file has an error, which the log tells."""
    try:
        return read_prices()
    except BadPrices as error:
        log.warning("%s", error)
        return Prices(_read(OURS).price, None)
