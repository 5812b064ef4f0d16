"""The flag of submissions that do better on the shared seed than on their fresh one."""

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from fathom.harness.db.audit import record
from fathom.harness.db.engine import translate_errors
from fathom.harness.db.schema.runs import CellRow
from fathom.harness.db.schema.service import SubmissionRow
from fathom.harness.stats.overfit import OVERFIT_FLAG, Overfit, Stratum, check_overfit


def flag_overfit(db: Engine, submission: str) -> bool:
    """Flag a submission whose run on the shared seed is better than its run on a fresh seed; return whether it is.

    A second call changes nothing.
    """
    with translate_errors(), Session(db) as session, session.begin():
        row = session.get_one(SubmissionRow, submission, with_for_update=True)
        found = check_overfit(_strata(session, row.run_id, row.fresh_run_id))
        if found.flagged and OVERFIT_FLAG not in row.flags:
            row.flags = {**row.flags, OVERFIT_FLAG: found.to_json()}
            record(session, "system", "flag", f"submission/{submission}", **_said(found))
        return found.flagged


def _said(found: Overfit) -> dict[str, object]:
    return {"flag": OVERFIT_FLAG, **found.to_json()}


def _strata(session: Session, shared: str | None, fresh: str | None) -> list[Stratum]:
    """Pair the cells of two runs by family, version, level, channel and style."""
    key = (CellRow.family, CellRow.version, CellRow.level, CellRow.channel, CellRow.style)
    wanted = select(CellRow.run_id, CellRow.k, CellRow.n, *key).where(CellRow.run_id.in_((shared, fresh)))
    counts: dict[tuple[object, ...], dict[str, tuple[int, int]]] = {}
    for run, k, n, *cell in session.execute(wanted.order_by(CellRow.run_id, CellRow.position)):
        counts.setdefault(tuple(cell), {})[run] = (k, n)
    return [Stratum(*both[shared], *both[fresh]) for both in counts.values() if shared in both and fresh in both]
