"""`kubectl bek`: looks at BusinessEncryptionKeys and acts on them, with the kubeconfig and the rights of its user."""
