"""Statistics of graded answers: intervals, scores, ranks, paired tests, pass@k. Functions of numbers; no database."""
