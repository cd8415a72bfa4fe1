"""Policy over REST in both daemons, and a cluster's own."""
