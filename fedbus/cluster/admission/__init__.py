"""The admission control of a cluster: what decides, by which rules and scans, and what is kept of it."""
