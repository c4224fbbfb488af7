"""What stands behind every page of a report: the records of a finished study, and how pages are set."""
