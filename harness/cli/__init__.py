"""The commands behind scripts/: each module has a main()."""
