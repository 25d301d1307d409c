"""The business's own Flow endpoint, which must hold the private half of the published key; pure."""
