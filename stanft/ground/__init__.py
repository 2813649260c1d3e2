"""What every other part stands on: errors, programs, progress, text files."""
