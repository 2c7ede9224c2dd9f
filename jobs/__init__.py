"""Ray jobs: import, refresh, evaluate, export. An entry point: each module runs by `python -m jobs.NAME`."""
