"""How a Keras classifier is trained: the same bytes, interrupted or not."""
