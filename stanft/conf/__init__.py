"""stan.conf: parsed as the server reads it, and written anew."""
