"""Kubernetes I/O: six verbs, reflector, cache, remote clusters, lease, event recorder."""
