"""A real API server, the operator as a process beside it, and what a test says about both."""
