"""The archive of a study: its code, its configuration and its results in one file, to hand in and to run again."""
