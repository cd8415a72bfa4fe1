"""How fast and how small fedbus is, against floors of the same run: `python -m benchmarks`."""
