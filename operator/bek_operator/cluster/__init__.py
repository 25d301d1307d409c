"""Access to the Kubernetes API server, except for kopf's watch of the objects."""
