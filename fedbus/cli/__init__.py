"""The `fedbus` command: a client of the REST API, and the way to start a daemon."""
