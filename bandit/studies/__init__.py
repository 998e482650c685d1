"""Studies: what was claimed, what comes out, and how sure that is."""
