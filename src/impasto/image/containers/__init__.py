"""The structure of picture files: chunks, directories, boxes, segments; read without a library."""
