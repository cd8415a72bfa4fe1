"""Keys, certificates, NATS JWTs, join tokens and signatures."""
