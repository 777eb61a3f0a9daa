"""The studio: a server that paints for a page in the browser and for programs. See docs/http.md."""
