"""The workshop: how good the tests, the presets and the generated code are."""
