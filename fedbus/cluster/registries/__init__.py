"""The registries that a cluster scans: credentials, runs, trials."""
