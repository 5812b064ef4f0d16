"""Seasons: their pages and their JSON API; the seasons themselves are in harness/service/seasons."""
