"""The processes behind the server: one paints, others read and write pictures."""
