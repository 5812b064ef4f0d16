"""The `fathom db` commands: parsing, and what they print."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Optional

import typer

from harness.settings import read_settings

db_app = typer.Typer(help="Look after the database.", no_args_is_help=True)

Db = Annotated[
    Optional[str], typer.Option("--db", help="Database URL or SQLite file; default FATHOM_DB or ./fathom.db.")
]


def database_of(url: str | None) -> str:
    """Return the database that the user named, or the environment's."""
    return url or read_settings().database


@db_app.command("upgrade")
def upgrade_database(db: Db = None) -> None:
    """Make the tables, or bring them up to date."""
    from harness.commands import upgrade_database as upgrade

    print(upgrade(database_of(db)))


@db_app.command("backup")
def back_up_database(
    file: Annotated[Path, typer.Argument(help="New file; .jsonl.gz is a good ending.")], db: Db = None
) -> None:
    """Write all rows to one file, which either kind of database can be restored from."""
    from harness.db.backup import back_up
    from harness.db.engine import open_database

    engine = open_database(database_of(db), create=False)
    shown = engine.url.render_as_string(hide_password=True)
    dumped = back_up(engine, file)
    engine.dispose()
    print(f"{shown} -> {file} (version {dumped.schema}, {file.stat().st_size / 1e6:.1f} MB)")
    _print_counts(dumped.rows)
    print("keep it secret: it holds digests of tokens and cookies, and seasons' secrets, which FATHOM_SECRET_KEY opens")


@db_app.command("restore")
def restore_database(
    file: Annotated[Path, typer.Argument(help="What `fathom db backup` wrote.")], db: Db = None
) -> None:
    """Fill a new, empty database from a backup, whole or not at all."""
    from harness.db.engine import HEAD, parse_url
    from harness.db.restore import restore

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
