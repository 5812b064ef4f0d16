"""The `fathom db` commands: parsing, and what they print."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from fathom.harness.cli.options import Db, database_of
from fathom.harness.db.engine import HEAD, current_version, make_engine, open_database, parse_url, upgrade
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.errors import BadDatabase, NewerDatabase

app = typer.Typer(help="Look after the database.", no_args_is_help=True)


@app.command("upgrade")
def upgrade_database(db: Db = None) -> None:
    """Make the tables, or bring them up to date."""
    print(upgrade_to_head(database_of(db)))


@app.command("backup")
def back_up_database(
    file: Annotated[Path, typer.Argument(help="New file; .jsonl.gz is a good ending.")], db: Db = None
) -> None:
    """Write all rows to one file, which either kind of database can be restored from."""
    from fathom.harness.db.backup.backup import back_up

    engine = open_database(database_of(db), create=False)
    shown = engine.url.render_as_string(hide_password=True)
    dumped = back_up(engine, file)
    engine.dispose()
    print(f"{shown} -> {file} (version {dumped.schema}, {file.stat().st_size / 1e6:.1f} MB)")
    _print_counts(dumped.rows)
    print("keep it secret: it holds digests of tokens and cookies, and seasons' secrets, which FATHOM_SECRET_KEY opens")


@app.command("restore")
def restore_database(
    file: Annotated[Path, typer.Argument(help="What `fathom db backup` wrote.")], db: Db = None
) -> None:
    """Fill a new, empty database from a backup, whole or not at all."""
    from fathom.harness.db.backup.restore import restore
    from fathom.harness.db.engine import HEAD, parse_url

    url = database_of(db)
    done = restore(file, url)
    print(f"{file} (version {done.dumped.schema}, made {done.dumped.made_at:%Y-%m-%d %H:%M} UTC):")
    _print_counts(done.dumped.rows)
    print(f"{parse_url(url).render_as_string(hide_password=True)} (version {HEAD}):")
    _print_counts(done.rows)


def _print_counts(rows: Mapping[str, int]) -> None:
    for table, n in rows.items():
        if n:
            print(f"  {table:<12} {n:>12,}")
    print(f"  {'all tables':<12} {sum(rows.values()):>12,}")


def upgrade_to_head(database: str) -> str:
    """Bring a database up to date; return what was done.

    Raises:
        BadDatabase, NewerDatabase: it cannot be opened, or is ahead of this Fathom.
    """
    engine = make_engine(parse_url(database))
    shown = engine.url.render_as_string(hide_password=True)
    try:
        before = current_version(engine)
        if before is not None and before > HEAD:
            raise NewerDatabase(f"the database {shown} is of version {before}, this Fathom knows {HEAD}: update Fathom")
        upgrade(engine)
        update_leaderboard(engine)
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        raise BadDatabase(f"cannot open the database {shown}: {reason}") from error
    finally:
        engine.dispose()
    return f"{shown} is at version {HEAD}" + ("" if before == HEAD else f" (was {before or 'empty'})")
