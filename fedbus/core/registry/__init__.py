"""Decisions about scanning registries: what is selected, how to get in, what to scan, when to try again."""
