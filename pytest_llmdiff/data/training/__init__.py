"""What a training leaves beside its weights: settings, log, template, model card."""
