"""What steps share: inputs, registry, outcomes, and how a step is run."""
