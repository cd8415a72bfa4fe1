"""Data: msgspec structs and their wire forms. No I/O, no clock, no randomness."""
