"""Reports about stored runs: terminal tables, figures, HTML, data frames, comparisons and ranks."""
