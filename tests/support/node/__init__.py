"""A real node, in namespaces of its own: Kubernetes' own programs, containerd, and the operator's image in Pods."""
