"""A cluster's scan results: kept, submitted, looked up, shown."""
