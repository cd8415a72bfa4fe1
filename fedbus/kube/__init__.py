"""Kubernetes: AdmissionReview, the API client, the inventory."""
