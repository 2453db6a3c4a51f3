"""Where images come from: the forms that `ingest` reads."""
