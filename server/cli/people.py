"""The commands of who operates a board: whose tokens there are, and who is an admin."""

import datetime as dt
from typing import Annotated, Optional

import typer

from fathom.harness.cli.options import Db, database_of

token_app = typer.Typer(help="Make API tokens for workers and programs, and revoke them.", no_args_is_help=True)
user_app = typer.Typer(help="See who has signed in, and make admins.", no_args_is_help=True)

Subject = Annotated[str, typer.Argument(help="Subject as `fathom user list` shows it, or ~ and the number.")]


@token_app.command("create")
def create_token(
    name: Annotated[str, typer.Option(help="What it is for.")],
    scopes: Annotated[str, typer.Option(help="Of read, submit, worker, admin; as in read,submit.")],
    user: Annotated[str, typer.Option(help="Whose it is: a subject; local is this machine's user.")] = "local",
    days: Annotated[Optional[int], typer.Option(min=1, max=3650, help="Days that it lasts; default for ever.")] = None,
    db: Db = None,
) -> None:
    """Make a token and print it. It is shown this once: the database holds its hash alone."""
    from fathom.harness.db.engine import open_database
    from fathom.server.accounts import store as accounts

    wanted = accounts.check_scopes(scopes.split(","))
    engine = open_database(database_of(db), create=True)
    owner = accounts.local_user(engine) if user == accounts.LOCAL else accounts.find_user(engine, user)
    lasts = None if days is None else dt.timedelta(days=days)
    print(accounts.create_token(engine, owner.id, name, wanted, lasts)[1])


@token_app.command("list")
def list_tokens(user: Annotated[str, typer.Option(help="Whose.")] = "local", db: Db = None) -> None:
    """List the tokens of a user, newest first."""
    from fathom.harness.db.engine import open_database
    from fathom.harness.format import instant
    from fathom.harness.reports.console import make_console
    from fathom.server.accounts import store as accounts

    engine = open_database(database_of(db), create=False)
    found = accounts.list_tokens(engine, accounts.find_user(engine, user).id)
    for one in found:
        used = f"last used {instant(one.used_at)}" if one.used_at else "never used"
        state = "revoked" if one.revoked_at else f"until {instant(one.expires_at)}" if one.expires_at else "for ever"
        make_console().print(f"{one.id}  {one.name}  {', '.join(one.scopes)}  {state}, {used}", soft_wrap=True)
    if not found:
        make_console().print("no tokens: `fathom token create` makes one")


@token_app.command("revoke")
def revoke_token(
    number: Annotated[int, typer.Argument(help="Number as `fathom token list` shows it.")],
    user: Annotated[str, typer.Option(help="Whose.")] = "local",
    db: Db = None,
) -> None:
    """Make a token useless, at once."""
    from fathom.harness.db.engine import open_database
    from fathom.server.accounts import store as accounts

    engine = open_database(database_of(db), create=False)
    accounts.revoke_token(engine, accounts.find_user(engine, user).id, number)
    print(f"token {number} is revoked")


@user_app.command("list")
def list_users(db: Db = None) -> None:
    """List who has signed in, newest first."""
    from fathom.harness.db.engine import open_database
    from fathom.harness.format import shorten, visible
    from fathom.harness.reports.console import make_console
    from fathom.server.accounts import store as accounts

    for one in accounts.list_users(open_database(database_of(db), create=False)):
        banned = ", banned" if one.banned_at else ""
        line = f"~{one.id}  {visible(shorten(one.name, 60))}  {one.role}{banned}  {visible(shorten(one.subject, 200))}"
        make_console().print(line, soft_wrap=True, markup=False)


@user_app.command("promote")
def promote(subject: Subject, db: Db = None) -> None:
    """Make somebody an admin."""
    _set_role(subject, "admin", db)


@user_app.command("demote")
def demote(subject: Subject, db: Db = None) -> None:
    """Make an admin a user again."""
    _set_role(subject, "user", db)


@user_app.command("ban")
def ban_user(
    subject: Subject,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the audit log for good.")],
    db: Db = None,
) -> None:
    """Shut somebody out: logins end, tokens are revoked, what is queued is cancelled; what has finished stays."""
    from fathom.harness.db.engine import open_database
    from fathom.server.accounts import store as accounts
    from fathom.server.admin import moderation

    engine = open_database(database_of(db), create=False)
    user = accounts.find_user(engine, subject)
    moderation.ban(engine, moderation.Deed("operator", str(user.id), reason))
    print(f"~{user.id} is banned; /admin/users lifts it")


def _set_role(subject: str, role: str, db: str | None) -> None:
    from fathom.harness.db.engine import open_database
    from fathom.server.accounts import store as accounts

    user = accounts.set_role(open_database(database_of(db), create=False), subject, role)
    print(f"~{user.id} is now {'an admin' if role == 'admin' else 'a user'}")
