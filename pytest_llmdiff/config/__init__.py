"""What the user wrote: options, settings, SPECs of models, packages."""
