"""The results page of a study: one file that shows everything, works from a disk, and loads nothing."""
