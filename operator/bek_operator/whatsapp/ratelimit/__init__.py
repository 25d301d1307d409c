"""Client-side rate limits for access tokens."""
