"""Why a comparison failed. A folder for each kind: values, computing, keeping."""
