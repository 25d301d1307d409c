"""URLs, hosts and CA bundles as values, judged by how they are written; no I/O."""
