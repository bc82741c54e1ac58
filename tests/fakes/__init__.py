"""Stand-ins that misbehave in the ways of the real thing."""
