"""Decisions: pure functions over `model`; clock, ids and randomness are arguments."""
