"""URLs, hosts, proxies and CA bundles, parsed and validated without I/O."""
