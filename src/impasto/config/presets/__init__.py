"""Presets: settings under a name, one TOML file each.

Flat keys and the tables `[content_layers]` and `[style_layers]` are fields of `Settings`; a field that is not
named keeps its default. Presets of other programs name all that makes their picture, also where our default
is the same today. The table `[about]` has `title` (one line), `source` (which program, which version) and
`limits`, sentences on what could not be translated.
"""
