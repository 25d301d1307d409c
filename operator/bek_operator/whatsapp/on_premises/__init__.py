"""The On-Premises API."""
