"""What several stages share. Nothing in here knows of DVC or of a stage."""
