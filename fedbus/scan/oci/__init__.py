"""The distribution API of registries: what repositories and tags there are, and what a tag names."""
