"""Load generators and probes. They speak the network only, and work against any server."""
