"""The rules, as values and pure functions: no I/O, no clock, nothing of kopf, httpx or Kubernetes clients."""
