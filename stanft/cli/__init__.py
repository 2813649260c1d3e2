"""The commands of stan-ft, one file each."""
