"""The use cases of a master and their composition root, `daemon`."""
