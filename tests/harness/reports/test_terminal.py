from fathom.harness.format import difference, duration, interval_text, percent, plural, score, visible
from fathom.harness.reports.terminal import draw_curves, group_cells, wrong_labels
from fathom.harness.stats.intervals import Estimate, Interval
from fathom.harness.stats.scores import CellCounts


def cell(level, k, n=20, style="direct", **labels):
    return CellCounts(1, "depo", 2, level, "symbol", style, n, n, k, 0, labels)


def test_the_picture_puts_each_mark_at_its_accuracy():
    styles = {
        "direct": [cell("n8k1", 20), cell("n8k3", 10), cell("n8k4", 2)],
        "cot": [cell("n8k1", 20, style="cot"), cell("n8k4", 16, style="cot")],
    }
    assert draw_curves("depo · symbol", styles).splitlines()[1:] == [
        "depo · symbol: accuracy against level    ● direct   ○ cot   · chance",
        " 100% ┤  ● ○",
        "      │",
        "      │                      ○",
        "      │",
        "      │",
        "  50% ┤           ●",
        "      │",
        "      │",
        "      │          ·······  ·······",
        "      │ ·······            ●",
        "   0% ┤",
        "        n8k1     n8k3     n8k4",
    ]


def test_cells_that_were_not_graded_draw_nothing():
    assert draw_curves("x", {"direct": [cell("n8k1", 0, n=0)]}) == ""


def test_mistakes_are_shares_of_all_samples_commonest_first():
    one = cell("n8k3", 10, correct=10, one_hop=5, start=2, other_node=1, no_answer=1, backwards=1)
    assert wrong_labels(one) == "one_hop 25%, start 10%, backwards 5%, other 10%"


def test_groups_keep_the_order_of_the_suite():
    cells = [cell("n8k1", 1), cell("n8k1", 1, style="cot"), cell("n8k2", 1)]
    assert [len(members) for members in group_cells(cells).values()] == [2, 1]


def test_numbers_are_written_for_people():
    assert percent(0.7134) == "71.3%"
    assert interval_text(Interval(0.651, 0.77)) == "65.1–77.0%"
    assert duration(75) == "1 min 15 s"
    assert duration(7275) == "2 h 1 min"
    assert plural(1, "item") == "1 item"
    assert plural(12345, "item") == "12,345 items"


def test_hidden_characters_are_shown():
    assert visible("a\u202eb\x1b[31mc\u200bd\n\te") == "a\\u202eb\\x1b[31mc\\u200bd\n\te"


def test_what_rounds_to_zero_has_no_sign():
    near = Estimate(-0.001, Interval(-0.151, 0.149))
    assert (score(near), difference(near)) == ("0.00 ± 0.15", "+0.00 ± 0.15")
