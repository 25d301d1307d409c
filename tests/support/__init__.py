"""What the tests and the demo are made with: a real API server, simulators, keys."""
