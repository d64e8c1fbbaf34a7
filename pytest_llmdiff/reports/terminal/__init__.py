"""The output on the terminal: header, worst verdicts, summary."""
