"""The yearly review of a charter, determined by both parties."""
