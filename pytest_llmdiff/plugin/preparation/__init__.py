"""What happens before the first test runs: models are checked, probes planned, needs looked for."""
