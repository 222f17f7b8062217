"""The server: many adapters on one base, behind the interfaces that translation clients speak. Trains nothing."""
