"""The verbs of the `zoo` command that are not Lightning's, one file each."""
