"""Training data as typed segments."""
