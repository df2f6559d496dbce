"""What every method stands on: events, contexts, the recommender's interface, top-N, files."""
