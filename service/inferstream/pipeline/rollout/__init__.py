"""Which version answers: the pinned one, a canary for some keys, a shadow whose scores go to their own topic."""
