"""Recommenders that others published, tuned and measured beside ours. Packages of the extra `peers`."""
