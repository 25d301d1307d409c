"""The benchmark: how fast and how small the operator is, against a real API server and simulated phone numbers."""
