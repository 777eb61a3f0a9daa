"""Pages and figures about results."""
