"""MongoDB: connection, indexes, queries."""
