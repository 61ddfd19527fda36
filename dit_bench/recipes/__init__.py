"""What a recipe is: its schema, loading, overrides and expansion to runs; imports nothing of the other packages."""
