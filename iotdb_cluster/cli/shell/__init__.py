"""`iotdb-cluster sql`: statements from a prompt, a file, standard input or the command line, and their results."""
