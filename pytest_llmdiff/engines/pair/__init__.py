"""What takes both engines: speculative decoding, divergence, likelihoods, first differences."""
