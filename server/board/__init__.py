"""The public board: ranks, models, comparisons, runs, samples, families, pictures, downloads and feeds."""
