"""Making a tiny, seeded checkpoint of any model type, the inputs for it, and the processors beside it."""
