"""What tests share: real daemons as processes, and clients of their REST APIs."""
