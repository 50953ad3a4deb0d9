"""Parse the arguments of a command, let a package do the work, and print the result."""
