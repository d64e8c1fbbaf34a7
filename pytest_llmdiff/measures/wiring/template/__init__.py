"""The chat template in force, held against that of the training."""
