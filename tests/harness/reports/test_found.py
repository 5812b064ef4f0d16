"""How answers were found is summed up over the cells that know it, and said where it matters."""

from fathom.harness.reports.found import found_rows, found_rows_json, found_table, main_rows, notable_rows, share_texts
from fathom.harness.stats.scores import CellCounts, FoundCounts


def cell(family, k, found, n=100, style="direct"):
    counts = None if found is None else FoundCounts(*found)
    return CellCounts(1, family, 1, "any", "symbol", style, n, n, k, 0, {}, None, counts)


def summed(rows):
    return [(row.style, row.family, row.n, row.k, row.counts) for row in rows]


def test_each_style_is_summed_over_all_families_and_over_each():
    cells = [cell("depo", 50, (90, 6, 4)), cell("mano", 10, (100, 0, 0)), cell("depo", 7, (1, 2, 97), style="cot")]
    assert summed(found_rows(cells)) == [
        ("direct", "", 200, 60, FoundCounts(190, 6, 4)),
        ("direct", "depo", 100, 50, FoundCounts(90, 6, 4)),
        ("direct", "mano", 100, 10, FoundCounts(100, 0, 0)),
        ("cot", "", 100, 7, FoundCounts(1, 2, 97)),
        ("cot", "depo", 100, 7, FoundCounts(1, 2, 97)),
    ]


def test_cells_that_do_not_know_are_left_out_of_every_number():
    known, unknown = cell("depo", 50, (90, 6, 4)), cell("depo", 1, None)
    assert summed(found_rows([known, unknown])[:1]) == [("direct", "", 100, 50, FoundCounts(90, 6, 4))]
    (row, _) = found_rows([unknown])
    assert (row.n, row.k, row.counts, row.shares) == (100, 1, None, None)
    assert found_rows_json([unknown])[0] == {
        "family": None, "style": "direct", "n": 100, "k": 1, "n_asked": None, "n_unread": None, "n_cut": None,
    }  # fmt: skip
    assert found_table([row]) is None
    assert set(share_texts(row)) == {"–"}


def test_a_cell_without_graded_answers_is_no_row():
    assert found_rows([cell("depo", 0, (0, 0, 0), n=0)]) == ()


def test_only_families_with_more_than_one_answer_in_fifty_in_another_form_are_named():
    cells = [cell("depo", 50, (97, 3, 0)), cell("mano", 10, (98, 0, 2)), cell("depo", 1, (100, 0, 0), style="cot")]
    names = [("direct", ""), ("direct", "depo")]
    assert [(row.style, row.family) for row in notable_rows(cells)] == names
    assert [(row.style, row.family) for row in main_rows(cells)] == [*names, ("cot", "")]
    assert notable_rows(cells[1:2]) == ()


def test_few_are_never_written_as_none_nor_nearly_all_as_all():
    (row, _) = found_rows([cell("depo", 1, (999, 1, 0), n=1000)])
    assert share_texts(row) == ("< 1%", "> 99%", "< 1%", "0%")
