"""Who may open a page: logins, sessions, passwords, PINs, rate limits, certificate."""
