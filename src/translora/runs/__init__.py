"""Run folders: what lies in them, and their life from beginning to end."""
