"""Dead letters, seen and sent again; and a quarantined partition let go on."""
