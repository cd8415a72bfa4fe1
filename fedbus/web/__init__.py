"""aiohttp plumbing and the handlers both daemons share; knows no use case."""
