"""How much may be asked of an API with one token."""
