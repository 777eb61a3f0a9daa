"""What the canvas is compared with: content, style statistics, smoothness."""
