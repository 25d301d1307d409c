"""The HTTP client: bounded responses, checked addresses; it knows nothing of WhatsApp."""
