"""What can be set: settings, runtime, output, limits, presets, recipes. No torch."""
