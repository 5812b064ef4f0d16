"""The engine for a Ray cluster: replicas of another engine, which may come and go."""
