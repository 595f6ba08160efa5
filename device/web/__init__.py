"""The web application: the kiosk page and the review site, served by the terminal itself (docs/web.md)."""
