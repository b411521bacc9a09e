"""Who may open which door: principals, roles, and the table of every address."""
