"""Reports about runs as one self-contained HTML file."""
