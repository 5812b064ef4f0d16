"""The `fathom` command, and the commands of those who run a board."""
