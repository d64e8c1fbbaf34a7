"""Ready-made suites: `pytest --pyargs pytest_llmdiff.suites.NAME --llm-base … --llm-tuned …`."""
