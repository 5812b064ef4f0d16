"""`fathom token` and `fathom user`: API tokens, and who is an admin."""

import datetime as dt
from typing import Annotated, Optional

import typer

from fathom.harness.cli.options import Db, open_store

token_app = typer.Typer(help="Create and revoke API tokens of workers and programs.", no_args_is_help=True)
user_app = typer.Typer(help="List users, make admins, ban users.", no_args_is_help=True)

_Subject = Annotated[str, typer.Argument(help="Subject as `fathom user list` shows it, or ~ and the number.")]


@token_app.command("create")
def _create_token(
    name: Annotated[str, typer.Option(help="What the token is for.")],
    scopes: Annotated[str, typer.Option(help="Scopes among read, submit, worker, admin, as in read,submit.")],
    user: Annotated[str, typer.Option(help="Subject of the owner; local is this machine's user.")] = "local",
    days: Annotated[Optional[int], typer.Option(min=1, max=3650, help="Days until it expires; default never.")] = None,
    db: Db = None,
) -> None:
    """Create a token and print it, this one time: the database stores only its hash."""
    from fathom.server.accounts import store as accounts

    wanted = accounts.check_scopes(scopes.split(","))
    lasts = None if days is None else dt.timedelta(days=days)
    engine = open_store(db, create=True)
    owner = accounts.local_user(engine) if user == accounts.LOCAL else accounts.find_user(engine, user)
    print(accounts.create_token(engine, owner.id, name, wanted, lasts)[1])


@token_app.command("list")
def _list_tokens(user: Annotated[str, typer.Option(help="Subject of the owner.")] = "local", db: Db = None) -> None:
    """List the tokens of a user, newest first."""
    from fathom.harness.format import instant
    from fathom.harness.reports.console import make_console
    from fathom.server.accounts import store as accounts

    engine = open_store(db)
    found = accounts.list_tokens(engine, accounts.find_user(engine, user).id)
    for one in found:
        used = f"last used {instant(one.used_at)}" if one.used_at else "never used"
        state = (
            "revoked" if one.revoked_at else f"until {instant(one.expires_at)}" if one.expires_at else "never expires"
        )
        make_console().print(f"{one.id}  {one.name}  {', '.join(one.scopes)}  {state}, {used}", soft_wrap=True)
    if not found:
        make_console().print("no tokens: `fathom token create` creates one")


@token_app.command("revoke")
def _revoke_token(
    number: Annotated[int, typer.Argument(help="Number as `fathom token list` shows it.")],
    user: Annotated[str, typer.Option(help="Subject of the owner.")] = "local",
    db: Db = None,
) -> None:
    """Revoke a token at once."""
    from fathom.server.accounts import store as accounts

    engine = open_store(db)
    accounts.revoke_token(engine, accounts.find_user(engine, user).id, number)
    print(f"token {number} is revoked")


@user_app.command("list")
def _list_users(db: Db = None) -> None:
    """List the users, newest first."""
    from fathom.harness.format import shorten, visible
    from fathom.harness.reports.console import make_console
    from fathom.server.accounts import store as accounts

    engine = open_store(db)
    found = accounts.list_users(engine)
    for one in found:
        banned = ", banned" if one.banned_at else ""
        line = f"~{one.id}  {visible(shorten(one.name, 60))}  {one.role}{banned}  {visible(shorten(one.subject, 200))}"
        make_console().print(line, soft_wrap=True, markup=False)


@user_app.command("promote")
def _promote(subject: _Subject, db: Db = None) -> None:
    """Make a user an admin."""
    _set_role(subject, "admin", db)


@user_app.command("demote")
def _demote(subject: _Subject, db: Db = None) -> None:
    """Make an admin a normal user again."""
    _set_role(subject, "user", db)


@user_app.command("ban")
def _ban(
    subject: _Subject,
    reason: Annotated[str, typer.Option(help="Reason; it stays in the audit log.")],
    db: Db = None,
) -> None:
    """Ban a user: logins end, tokens are revoked, running submissions are cancelled; finished ones stay."""
    from fathom.server.accounts import store as accounts
    from fathom.server.admin import moderation

    engine = open_store(db)
    user = accounts.find_user(engine, subject)
    moderation.ban(engine, moderation.AdminAction("operator", str(user.id), reason))
    print(f"~{user.id} is banned; /admin/users lifts it")


def _set_role(subject: str, role: str, db: str | None) -> None:
    from fathom.server.accounts import store as accounts

    engine = open_store(db)
    user = accounts.set_role(engine, subject, role)
    print(f"~{user.id} is now {'an admin' if role == 'admin' else 'a user'}")
