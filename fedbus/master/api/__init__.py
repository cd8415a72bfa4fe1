"""The REST API of the master: thin handlers, one use case each, by subject; `app.py` puts them together."""
