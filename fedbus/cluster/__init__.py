"""What every cluster does for itself, the master's own included: scan results, registries, local policy."""
