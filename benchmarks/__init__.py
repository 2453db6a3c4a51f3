"""What docs/speed.md rests on; `python -m benchmarks` runs it."""
