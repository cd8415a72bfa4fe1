"""What scanners say, in one form: severities, times, packages, identities, secrets. Pure functions."""
