"""fedbus keeps many Kubernetes clusters in step over NATS JetStream.

Read in this order: model/events.py, model/subjects.py, core/, worker/follower.py, master/daemon.py.
"""

__version__ = "0.1.0"
