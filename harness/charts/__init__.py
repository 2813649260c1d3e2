"""The charts as data: values, renders, releases."""
