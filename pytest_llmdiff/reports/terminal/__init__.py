"""What a run prints: header, worst verdicts, summary."""
