"""What trained networks give on the test set, compared and drawn."""
