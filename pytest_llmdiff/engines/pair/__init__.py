"""Two engines over the same tokens: drafts, divergence, likelihoods, first differences."""
