"""Keep runs in a SQL database: typed tables, idempotent writes, frozen rows to read."""
