"""Jobs of workers: the queue with its leases, the requests of a job, and the grading of its completions."""
