"""One reconciler for all kinds; observe and act per kind; the work queue; the kopf feed."""
