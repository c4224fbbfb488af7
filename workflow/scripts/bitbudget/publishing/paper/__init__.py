"""The paper of a study, or of several: sections made of the studies' records, set in two columns on 4 to 6 pages."""
