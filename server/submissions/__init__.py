"""Submitted models: form and API, checks on the hub, planning, the queue and its live updates."""
