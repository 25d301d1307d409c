"""The Kubernetes API server as the operator sees it; the only package that calls it."""
