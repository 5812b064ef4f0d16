"""`fathom season` and `fathom verify-season`."""

import json
from collections.abc import Callable
from typing import Annotated, Any, Optional

import typer

from fathom.harness.cli.options import Db, database_of, open_store
from fathom.harness.settings import read_settings

season_app = typer.Typer(help="Run seasons: commit to a secret seed, use it, reveal it.", no_args_is_help=True)

_Name = Annotated[str, typer.Argument(help="Lower-case letters, digits and hyphens, as in 2026-winter.")]

_SHOWN = 66
"""Most characters of a checked value that are printed; a SHA-256 has 64."""


@season_app.command("new")
def _new(
    name: _Name,
    suite: Annotated[str, typer.Option(help="Suite of the season.")] = "standard",
    n: Annotated[Optional[int], typer.Option("--n", min=1, help="Items per cell; default: as the suite.")] = None,
    db: Db = None,
) -> None:
    """Draw a season's secret and store it encrypted with FATHOM_SECRET_KEY."""
    from fathom.harness.service.seasons.store import new_season

    season = _with(db, lambda engine: new_season(engine, name, suite, _key(), n), create=True)
    print(f"season {season.id} is new: suite {season.suite}; {season.next}")


@season_app.command("commit")
def _commit(name: _Name, db: Db = None) -> None:
    """Fix secret, items and grading, and print the commitment. Publish it before the beacon is known."""
    from fathom.harness.service.seasons import store as seasons

    season = _with(db, lambda engine: seasons.commit_season(engine, name, _key()))
    print(f"season {season.id} is committed: {season.terms['n_items']} items in {season.terms['n_cells']} cells")
    print(f"commitment {season.commitment}")
    print(f"{season.next}, with a public random value that is not known yet")


@season_app.command("open")
def _open(
    name: _Name,
    beacon: Annotated[str, typer.Option(help="A public random value from after the commitment.")],
    beacon_source: Annotated[str, typer.Option(help="Where it was published, as in 'drand round 4816212'.")],
    db: Db = None,
) -> None:
    """Mix the beacon in, which fixes the questions, and accept submissions."""
    from fathom.harness.service.seasons.store import Beacon, open_season

    season = _with(db, lambda engine: open_season(engine, name, Beacon(beacon, beacon_source), _key()))
    print(f"season {season.id} is open; {season.next} when it should end")


@season_app.command("close")
def _close(name: _Name, db: Db = None) -> None:
    """Accept no more submissions."""
    from fathom.harness.service.seasons import store as seasons

    season = _with(db, lambda engine: seasons.close_season(engine, name))
    print(f"season {season.id} is closed; {season.next}")


@season_app.command("reveal")
def _reveal(name: _Name, db: Db = None) -> None:
    """Publish the secret: from now on anybody can read all questions and answers and check the season."""
    from fathom.harness.service.seasons import store as seasons

    season = _with(db, lambda engine: seasons.reveal_season(engine, name, _key()))
    print(f"season {season.id} is revealed; {season.next}")
    print(f"secret {season.revealed}")


@season_app.command("list")
def _list(db: Db = None) -> None:
    """List all seasons, newest first."""
    from fathom.harness.format import instant
    from fathom.harness.service.seasons import store as seasons

    found = _with(db, seasons.list_seasons)
    for one in found:
        print(f"{one.id:<24} {one.state:<10} {one.suite:<10} {instant(one.created_at)}  {one.next}")
    if not found:
        print("no season yet: `fathom season new NAME` creates one")


@season_app.command("show")
def _show(name: _Name, db: Db = None) -> None:
    """Print the public part of a season as JSON."""
    from fathom.harness.service.seasons import store as seasons

    print(json.dumps(_with(db, lambda engine: seasons.get_season(engine, name)).document(), indent=1))


verify_app = typer.Typer()


@verify_app.command("verify-season")
def _verify_season(
    name: Annotated[str, typer.Argument(help="Name of a season, or a file with its JSON.")],
    db: Db = None,
    server: Annotated[Optional[str], typer.Option(help="Address of its board, as in https://fathom.example.")] = None,
) -> None:
    """Check a revealed season by generating every item again from secret and beacon. Exit code 1: a check failed."""
    from fathom.harness.format import shorten
    from fathom.harness.service.seasons.commitment import verify_season
    from fathom.harness.service.seasons.document import read_season_document

    document = read_season_document(name, database_of(db), server)
    checks = verify_season(document)
    for one in checks:
        said = shorten(one.detail, _SHOWN) if one.ok else one.detail
        print(f"{'ok' if one.ok else 'FAILED':<6}  {one.name:<24}  {said}")
    n_failed = sum(not one.ok for one in checks)
    print(f"{n_failed} of {len(checks)} checks FAILED" if n_failed else f"all {len(checks)} checks passed")
    if n_failed:
        print(f"the season was committed to with Fathom {document['terms'].get('fathom')}: check it with that version")
        raise typer.Exit(1)


def _key() -> str:
    return read_settings().service.secret_key


def _with(url: str | None, call: Callable[[Any], Any], *, create: bool = False) -> Any:  # the result of the call
    engine = open_store(url, create=create)
    return call(engine)
