"""Commands that are no stages: `python -m tools.NAME`."""
