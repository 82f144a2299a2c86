"""Who may connect, with which certificates and logins, and which rights that needs."""
