"""Commands that are not stages: `python -m tools.NAME`."""
