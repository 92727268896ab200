"""See the modules: one command each."""
