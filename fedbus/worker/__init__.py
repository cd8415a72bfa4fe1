"""The use cases of a worker and their composition root, `daemon`."""
