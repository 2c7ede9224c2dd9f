"""What is true of the cluster, not of a model.

Configuration, messages, errors, identity, the SQL store, sessions, the catalogue, artifacts, telemetry and the command
line. It is the bottom of the import order: it imports none of the other packages.
"""
