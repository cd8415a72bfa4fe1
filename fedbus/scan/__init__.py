"""Scanning: report importers, the OCI registry client, scanner programs."""
