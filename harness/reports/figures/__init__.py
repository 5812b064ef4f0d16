"""Figures of stored results: curves of accuracy against difficulty, and bars of mistakes, as SVG."""
