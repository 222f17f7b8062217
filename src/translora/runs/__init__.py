"""Run folders: their files, and their life from beginning to end."""
