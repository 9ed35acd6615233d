"""The Instant Clusters API: client, wire models, and their translation into planning's facts."""
