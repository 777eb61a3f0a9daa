"""Files, folders, memory and processors of this machine."""
