"""Moderation: pages and actions of admins."""
