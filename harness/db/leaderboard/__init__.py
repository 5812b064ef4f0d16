"""The leaderboard: results of finished runs, and ranks of models."""
