"""The demonstration: the operator on a real API server, with simulated phone numbers."""
