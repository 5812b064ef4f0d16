"""Results made elsewhere: received while they arrive, graded here, and replayed by a worker."""
