"""Mark submissions with what tests found."""

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from fathom.harness.db.audit import record
from fathom.harness.db.engine import translate_errors
from fathom.harness.db.schema.runs import CellRow
from fathom.harness.db.schema.service import SubmissionRow
from fathom.harness.stats.overfit import FLAG, Overfit, Stratum, check_overfit


def flag_overfit(db: Engine, submission: str) -> bool:
    """Compare a submission's shared and fresh layers, and flag it where it knows the shared one by heart.

    Say whether it is flagged. Doing it again changes nothing.
    """
    with translate_errors(), Session(db) as session, session.begin():
        row = session.get_one(SubmissionRow, submission, with_for_update=True)
        found = check_overfit(_strata(session, row.run_id, row.fresh_run_id))
        if found.flagged and FLAG not in row.flags:
            row.flags = {**row.flags, FLAG: found.to_json()}
            record(session, "system", "flag", f"submission/{submission}", **_said(found))
        return found.flagged


def _said(found: Overfit) -> dict[str, object]:
    return {"flag": FLAG, **found.to_json()}


def _strata(session: Session, shared: str | None, fresh: str | None) -> list[Stratum]:
    """Pair the cells of two runs by what they ask."""
    key = (CellRow.family, CellRow.version, CellRow.level, CellRow.channel, CellRow.style)
    wanted = select(CellRow.run_id, CellRow.k, CellRow.n, *key).where(CellRow.run_id.in_((shared, fresh)))
    counts: dict[tuple[object, ...], dict[str, tuple[int, int]]] = {}
    for run, k, n, *cell in session.execute(wanted.order_by(CellRow.run_id, CellRow.position)):
        counts.setdefault(tuple(cell), {})[run] = (k, n)
    return [Stratum(*both[shared], *both[fresh]) for both in counts.values() if shared in both and fresh in both]
