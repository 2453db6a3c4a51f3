"""The stage `report`: one page with the story of the run, and a card for each model."""
