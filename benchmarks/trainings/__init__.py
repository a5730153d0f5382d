"""Small real trainings, many at once: what the corpus is made of."""
