"""Pin insertion: a held pin goes into a named hole of a box of nine."""
