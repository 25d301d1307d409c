"""The Cloud API, also as a provider passes it on."""
