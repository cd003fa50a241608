"""The node that builds and joins everything, and the command."""
