"""What a release has beside the image: its notes and its manifests."""
