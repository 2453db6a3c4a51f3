"""The study's steps, one script a stage; `python -m stages.NAME` runs one without DVC."""
