"""The `fathom season` commands and `fathom verify-season`: parsing, and what they print."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Optional

import typer

from fathom.harness.cli.options import Db, database_of
from fathom.harness.settings import read_settings

season_app = typer.Typer(help="Hold seasons: commit to a secret seed, use it, reveal it.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Lower-case letters, digits and hyphens, as in 2026-winter.")]

_SHOWN = 66
"""Characters of a checked value that are printed: a SHA-256 is 64."""


@season_app.command("new")
def make_season(
    name: Name,
    suite: Annotated[str, typer.Option(help="Suite of cells.")] = "standard",
    n: Annotated[Optional[int], typer.Option("--n", min=1, help="Items a cell; the suite's own if not given.")] = None,
    db: Db = None,
) -> None:
    """Draw a season's secret, and store it encrypted with FATHOM_SECRET_KEY."""
    from fathom.harness.service.seasons.store import new_season

    season = _with(db, lambda engine: new_season(engine, name, suite, _key(), n), create=True)
    print(f"season {season.id} is new: suite {season.suite}; {season.next}")


@season_app.command("commit")
def commit_season(name: Name, db: Db = None) -> None:
    """Fix secret, items and grading, and print the commitment; publish it before the beacon is known."""
    from fathom.harness.service.seasons import store as seasons

    season = _with(db, lambda engine: seasons.commit_season(engine, name, _key()))
    print(f"season {season.id} is committed: {season.terms['n_items']} items in {season.terms['n_cells']} cells")
    print(f"commitment {season.commitment}")
    print(f"{season.next}, with a public random value that nobody knows yet")


@season_app.command("open")
def open_season(
    name: Name,
    beacon: Annotated[str, typer.Option(help="A public random value from after the commitment.")],
    beacon_source: Annotated[str, typer.Option(help="Where anybody can look it up, as in 'drand round 4816212'.")],
    force: Annotated[bool, typer.Option("--force", help="Exit with 0 even if the items differ from before.")] = False,
    db: Db = None,
) -> None:
    """Mix the beacon in and take submissions. Exit code 1: open, but its items differ from the last season's."""
    from fathom.harness.service.seasons.opening import open_compared
    from fathom.harness.service.seasons.store import Beacon

    season = _with(db, lambda engine: open_compared(engine, name, Beacon(beacon, beacon_source), _key()))
    print(f"season {season.id} is open; {season.next} when it is to end")
    alike = _print_equating(dict(season.equating or {}))
    if not alike and not force:
        raise typer.Exit(1)


def _print_equating(found: dict[str, Any]) -> bool:  # JSON of harness.equating
    print(f"compared with {found['against']}: {found['n_compared']} tests, smallest adjusted p {found['least_p']:.2g}")
    if not found["alike"]:
        print("WARNING: ITS ITEMS DIFFER from those before beyond chance: scores of the two do not compare.")
    for one in found["differences"]:
        print(f"  {one['cell']}: {one['covariate']}, {one['test']}, adjusted p {one['p_adjusted']:.2g}")
    return bool(found["alike"])


@season_app.command("close")
def close_season(name: Name, db: Db = None) -> None:
    """Take no more submissions."""
    from fathom.harness.service.seasons import store as seasons

    season = _with(db, lambda engine: seasons.close_season(engine, name))
    print(f"season {season.id} is closed; {season.next}")


@season_app.command("reveal")
def reveal_season(name: Name, db: Db = None) -> None:
    """Publish the secret: from now on all questions and answers may be read, and anybody can check the season."""
    from fathom.harness.service.seasons import store as seasons

    season = _with(db, lambda engine: seasons.reveal_season(engine, name, _key()))
    print(f"season {season.id} is revealed; {season.next}")
    print(f"secret {season.revealed}")


@season_app.command("list")
def list_seasons(db: Db = None) -> None:
    """List all seasons, the newest first."""
    from fathom.harness.format import instant
    from fathom.harness.service.seasons import store as seasons

    found = _with(db, seasons.list_seasons)
    for one in found:
        print(f"{one.id:<24} {one.state:<10} {one.suite:<10} {instant(one.created_at)}  {one.next}")
    if not found:
        print("no season yet: `fathom season new NAME` makes one")


@season_app.command("show")
def show_season(name: Name, db: Db = None) -> None:
    """Print what everybody may know of a season, as JSON."""
    from fathom.harness.service.seasons import store as seasons

    print(json.dumps(_with(db, lambda engine: seasons.get_season(engine, name)).document(), indent=1))


verify_app = typer.Typer()


@verify_app.command("verify-season")
def verify_season(
    name: Annotated[str, typer.Argument(help="A season's name, or a file with its JSON.")],
    db: Db = None,
    server: Annotated[Optional[str], typer.Option(help="Board that shows it, as in https://fathom.example.")] = None,
) -> None:
    """Check a revealed season: make every item again from secret and beacon. Exit code 1: something does not fit."""
    from fathom.harness.format import shorten
    from fathom.harness.service.seasons.commitment import verify
    from fathom.harness.service.seasons.document import read_season

    document = read_season(name, database_of(db), server)
    checks = verify(document)
    for one in checks:
        said = shorten(one.detail, _SHOWN) if one.ok else one.detail
        print(f"{'ok' if one.ok else 'FAILED':<6}  {one.name:<24}  {said}")
    n_failed = sum(not one.ok for one in checks)
    print(f"{n_failed} of {len(checks)} checks FAILED" if n_failed else f"all {len(checks)} checks passed")
    if n_failed:
        print(
            f"it was committed to with Fathom {document['terms'].get('fathom')}: only that version may make its items"
        )
        raise typer.Exit(1)


def _key() -> str:
    return read_settings().service.secret_key


def _with(url: str | None, call: Callable[[Any], Any], *, create: bool = False) -> Any:  # whatever the call returns
    from fathom.harness.db.engine import open_database

    engine = open_database(database_of(url), create=create)
    try:
        return call(engine)
    finally:
        engine.dispose()
