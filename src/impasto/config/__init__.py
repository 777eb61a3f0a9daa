"""Settings, runtime, output, limits, presets and recipes. No torch."""
