"""Stage one: a language model helps a person to build a task's reset and verifier, before they are frozen."""
