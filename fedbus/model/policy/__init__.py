"""The policy kinds with NeuVector's field names."""
